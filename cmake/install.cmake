# install.cmake: what `cmake --install` puts where, and the Debian package that cpack makes of it. Included by
# CMakeLists.txt where MARQUE_INSTALL is on.

# --- The C library: one archive and one shared library, of the same objects as the program.
set(PUBLIC_OBJECTS $<TARGET_OBJECTS:marque_base> $<TARGET_OBJECTS:marque_core>)
add_library(marque_static STATIC ${PUBLIC_OBJECTS})
add_library(marque_shared SHARED ${PUBLIC_OBJECTS})
set_target_properties(marque_static marque_shared PROPERTIES OUTPUT_NAME marque LINKER_LANGUAGE C)
set_target_properties(marque_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/marque.map)
target_link_options(marque_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/marque.map -Wl,-z,defs
                    -Wl,--as-needed -Wl,--gc-sections)
target_link_libraries(marque_shared PRIVATE PkgConfig::JANSSON PkgConfig::CRYPTO PkgConfig::XXHASH
                      PkgConfig::UTF8PROC PkgConfig::JPEG PkgConfig::PNG PkgConfig::WEBP PkgConfig::ZLIB PkgConfig::EXPAT
                      ${DNNL_LIBRARY} Threads::Threads m)
if(MARQUE_OPENMP)
  target_link_libraries(marque_shared PRIVATE OpenMP::OpenMP_C)
endif()

# marque.pc finds its prefix from where it lies itself: a tree may be installed anywhere and moved.
file(RELATIVE_PATH MARQUE_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" MARQUE_PC_PREFIX ${MARQUE_PC_PREFIX})
set(MARQUE_PC_LIBS "")
if(MARQUE_DNNL_ROOT)
  set(MARQUE_PC_LIBS "-L${MARQUE_DNNL_ROOT}/lib ")
endif()
foreach(name dnnl ${JANSSON_LIBRARIES} ${CRYPTO_LIBRARIES} ${XXHASH_LIBRARIES} ${UTF8PROC_LIBRARIES} ${JPEG_LIBRARIES}
        ${PNG_LIBRARIES} ${WEBP_LIBRARIES} ${ZLIB_LIBRARIES} ${EXPAT_LIBRARIES})
  string(APPEND MARQUE_PC_LIBS "-l${name} ")
endforeach()
# OpenMP's runtime by its name: what -fopenmp means is each compiler's own, and only one may be in a program.
if(MARQUE_OPENMP)
  list(GET OpenMP_C_LIB_NAMES 0 openmp)
  string(APPEND MARQUE_PC_LIBS "-l${openmp} ")
endif()
string(APPEND MARQUE_PC_LIBS "-pthread -lm")
configure_file(cmake/marque.pc.in marque.pc @ONLY)

# --- Manual page and completions: written by the program from the tables that --help shows.
set(MADE_DOCS "")
foreach(row "man|marque.1" "bash|marque.bash" "zsh|_marque" "fish|marque.fish")
  string(REPLACE "|" ";" row ${row})
  list(GET row 0 kind)
  list(GET row 1 file)
  add_custom_command(OUTPUT docs/${file} COMMAND ${CMAKE_COMMAND} -E make_directory docs
                     COMMAND marque docs ${kind} > docs/${file} DEPENDS marque VERBATIM)
  list(APPEND MADE_DOCS docs/${file})
endforeach()
add_custom_command(OUTPUT docs/marque.1.gz COMMAND gzip -9nkf docs/marque.1 DEPENDS docs/marque.1 VERBATIM)
add_custom_command(OUTPUT docs/changelog.gz COMMAND gzip -9nc ${CMAKE_SOURCE_DIR}/CHANGELOG.md > docs/changelog.gz
                   DEPENDS ${CMAKE_SOURCE_DIR}/CHANGELOG.md VERBATIM)
add_custom_target(marque_docs ALL DEPENDS ${MADE_DOCS} docs/marque.1.gz docs/changelog.gz)

# --- Where everything goes.
set(DATADIR ${CMAKE_INSTALL_DATADIR})
install(TARGETS marque RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${MARQUE_CHILDREN} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/marque)
install(TARGETS marque_static marque_shared)
install(FILES include/marque.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/marque.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/docs/marque.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/docs/marque.bash DESTINATION ${DATADIR}/bash-completion/completions RENAME marque)
install(FILES ${CMAKE_BINARY_DIR}/docs/_marque DESTINATION ${DATADIR}/zsh/vendor-completions)
install(FILES ${CMAKE_BINARY_DIR}/docs/marque.fish DESTINATION ${DATADIR}/fish/vendor_completions.d)
install(FILES cmake/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_BINARY_DIR}/docs/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})

# --- cpack -G DEB
set(MARQUE_MAINTAINER "The maintainers of marque <maintainers@marque.invalid>" CACHE STRING
    "who answers for the Debian package, as NAME <ADDRESS>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${MARQUE_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "teaches an ImageNet network to tell fine-grained things apart")
set(CPACK_PACKAGE_DESCRIPTION "marque takes Keras' Xception with its ImageNet weights and a folder of
pictures for each class (car models, beetles, parts, products), and trains a
picture classifier on an ordinary computer: no GPU, no Python.
.
This package holds the program, and the C library for programs that use the
models it makes.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
file(WRITE ${CMAKE_BINARY_DIR}/deb/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/deb/triggers)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
