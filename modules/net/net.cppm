export module shoal.net;
import shoal.core;
