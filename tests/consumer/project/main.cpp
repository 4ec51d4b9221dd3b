#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
import shoal.core;
import shoal.metainfo;

int main(int, char** arguments) {
    std::ifstream file(arguments[1], std::ios::binary);
    std::string const bytes(std::istreambuf_iterator<char>(file), {});
    auto const torrent = shoal::metainfo::parse_torrent(shoal::as_bytes(bytes));
    if (!torrent) {
        std::cerr << torrent.error().message() << '\n';
        return 1;
    }
    std::cout << torrent.value().name() << ' ' << shoal::to_hex(torrent.value().swarm_hash().view()) << '\n';
}
