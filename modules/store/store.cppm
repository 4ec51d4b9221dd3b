export module shoal.store;
import shoal.core;
