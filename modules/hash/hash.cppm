export module shoal.hash;
import shoal.core;
