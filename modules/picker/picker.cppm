export module shoal.picker;
import shoal.core;
