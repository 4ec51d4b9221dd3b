export module shoal.hub;
import shoal.core;
