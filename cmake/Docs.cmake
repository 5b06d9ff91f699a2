# The target `docs`: the pages of Markdown and the reference of the headers as a site, in site/ of
# the build, which a browser reads from the disk. It takes MkDocs, Doxygen and Python; a link that
# leads nowhere fails it.
find_program(MKDOCS mkdocs)
find_program(DOCS_PYTHON python3)
mark_as_advanced(MKDOCS DOCS_PYTHON)
if(NOT MKDOCS OR NOT DOCS_PYTHON OR NOT TARGET reference)
  add_custom_target(docs
    COMMAND ${CMAKE_COMMAND} -E echo
            "docs takes MkDocs, Doxygen and Python (Debian: apt-get install mkdocs doxygen)"
    COMMAND ${CMAKE_COMMAND} -E false VERBATIM)
  return()
endif()
set(site ${PROJECT_BINARY_DIR}/site)
set(pages ${PROJECT_BINARY_DIR}/pages) # the source's own folders, so that links are the same
configure_file(cmake/mkdocs.yml.in ${PROJECT_BINARY_DIR}/mkdocs.yml @ONLY)
set(folders)
foreach(folder cmake docs examples include kernels/reference tests/cuda_on_cpu) # of what is linked
  list(APPEND folders
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/${folder} ${pages}/${folder})
endforeach()
add_custom_target(docs
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${pages} ${site}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${pages}
  COMMAND ${CMAKE_COMMAND} -E copy README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md ${pages}
  ${folders}
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_BINARY_DIR}/reference/html ${pages}/reference
  COMMAND ${MKDOCS} build --quiet --strict --config-file ${PROJECT_BINARY_DIR}/mkdocs.yml
  COMMAND ${CMAKE_COMMAND} -E rm ${site}/404.html # whose links are those of a server
  COMMAND sh -c "find ${site} -name '*.html' -exec '${DOCS_PYTHON}' scripts/check-links {} +"
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM COMMENT "Writing site/index.html")
add_dependencies(docs reference)
