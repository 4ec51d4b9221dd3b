export module shoal.announce;
import shoal.core;
