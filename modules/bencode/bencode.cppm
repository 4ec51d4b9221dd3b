export module shoal.bencode;
import shoal.core;
