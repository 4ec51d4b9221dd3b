export module shoal.metainfo;
import shoal.core;
