export module shoal.engine;
import shoal.core;
