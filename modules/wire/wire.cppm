export module shoal.wire;
import shoal.core;
