/// What tests and benchmarks of several rooms share.
export module shoal.testing;
export import :machine;     // on_machine: a coroutine on the real machine, bounded in time
export import :passing;     // passing_network: a base for networks that change one thing of another
export import :simulation;  // simulation: hosts, network and time from a seed
export import :content;     // content: a torrent and its bytes; temporary_folder
export import :liar;        // serve_lies: a peer that sends wrong blocks, or none
