export module shoal.choker;
import shoal.core;
