/// Digests and the trees of digests that torrents are checked by. Over OpenSSL's EVP, which no importer sees.
export module shoal.hash;
export import :digest;  // sha1_hasher, sha256_hasher, sha1_of, sha256_of
export import :merkle;  // merkle_hasher, merkle_root, pad_hash
import shoal.core;      // digests, byte_view
