export module shoal.registry;
import shoal.core;
