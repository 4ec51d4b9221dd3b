# What makes mistakes harder to use against a user (class M11). tests/programs/hardening.py reads it off the programs.

# Every build, so that what the tests run is linked as what is released: no page is writable and executable, nothing that
# the loader has resolved stays writable, code has pages of its own.
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)

# What costs a debugger or needs optimisation. The other builds have the library's assertions instead (CMakePresets.json).
option(SHOAL_HARDEN "check stack and jumps at run time; for optimised builds" OFF)
if(SHOAL_HARDEN)
  include(CheckCXXCompilerFlag)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fPIE)
  add_link_options(-pie)
  check_cxx_compiler_flag(-fcf-protection=full SHOAL_HAS_CF_PROTECTION)  # x86 alone has it
  if(SHOAL_HAS_CF_PROTECTION)
    add_compile_options(-fcf-protection=full)
  endif()
endif()
