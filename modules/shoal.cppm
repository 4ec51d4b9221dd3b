/// Every room of the toolkit: `import shoal;`. Import single rooms to compile less.
export module shoal;
export import shoal.core;
export import shoal.bencode;
export import shoal.hash;
export import shoal.metainfo;
export import shoal.wire;
export import shoal.announce;
export import shoal.picker;
export import shoal.choker;
export import shoal.registry;
export import shoal.session;
export import shoal.dht;
export import shoal.utp;
export import shoal.net;
export import shoal.store;
export import shoal.engine;
export import shoal.hub;
