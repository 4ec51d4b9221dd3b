# For sourcing by run.sh and compare.sh: the release programs, built where they are not as the sources are.
. cmake/bootstrap.sh
mkdir -p build
{ [ -e build/release/build.ninja ] || cmake --preset release; cmake --build --preset release -j 2 --target peer tracker; } >build/bench-build.log 2>&1 ||
    { tail -n 40 build/bench-build.log; exit 1; }
