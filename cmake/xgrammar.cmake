# XGrammar, the library of structured output, as the static library octet_xgrammar.
#
# Neither Debian nor anybody else packages its C++ part, so its source is taken from its Python package, pinned:
# scripts/get-xgrammar downloads and checks it. -DOCTET_XGRAMMAR_SOURCE=DIR takes it from elsewhere.
set(OCTET_XGRAMMAR_SOURCE ${PROJECT_SOURCE_DIR}/external/xgrammar-0.2.8 CACHE PATH "The source of XGrammar 0.2.8")
if(NOT EXISTS ${OCTET_XGRAMMAR_SOURCE}/cpp/earley_parser.cc)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/get-xgrammar ${OCTET_XGRAMMAR_SOURCE}
                  RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "There is no source of XGrammar in ${OCTET_XGRAMMAR_SOURCE}, and it could not be fetched. "
                        "Put it there, or build without structured output: -DOCTET_STRUCTURED_OUTPUTS=OFF")
  endif()
endif()

# Its licence and notice, and the licences of what it brings.
octet_add_licence(LICENSE.xgrammar ${OCTET_XGRAMMAR_SOURCE}/LICENSE)
octet_add_licence(NOTICE.xgrammar ${OCTET_XGRAMMAR_SOURCE}/NOTICE)
octet_add_licence(LICENSE.dlpack ${OCTET_XGRAMMAR_SOURCE}/3rdparty/dlpack/LICENSE)
octet_add_licence_at_head(LICENSE.picojson ${OCTET_XGRAMMAR_SOURCE}/3rdparty/picojson/picojson.h)

# A library that another build folder made: the same code for every preset, since no sanitizer is for it (below).
set(OCTET_XGRAMMAR_LIBRARY "" CACHE FILEPATH "A liboctet_xgrammar.a to take instead of compiling XGrammar")
if(OCTET_XGRAMMAR_LIBRARY)
  if(NOT EXISTS ${OCTET_XGRAMMAR_LIBRARY})
    message(FATAL_ERROR "OCTET_XGRAMMAR_LIBRARY: expected a library that is there, found ${OCTET_XGRAMMAR_LIBRARY}")
  endif()
  add_library(octet_xgrammar STATIC IMPORTED GLOBAL)
  set_target_properties(octet_xgrammar PROPERTIES IMPORTED_LOCATION ${OCTET_XGRAMMAR_LIBRARY})
  target_include_directories(octet_xgrammar SYSTEM
    INTERFACE ${OCTET_XGRAMMAR_SOURCE}/include ${OCTET_XGRAMMAR_SOURCE}/3rdparty/dlpack/include)
  return()
endif()

# Its parser knows no limit of time, so one is written into a copy: octet::grammar::checkpoint() at each state.
set(parser ${CMAKE_CURRENT_BINARY_DIR}/xgrammar/earley_parser.cc)
set(anchor "auto [scanable, completable] = Predict(state, debug_print);")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${OCTET_XGRAMMAR_SOURCE}/cpp/earley_parser.cc)
file(READ ${OCTET_XGRAMMAR_SOURCE}/cpp/earley_parser.cc text)
string(FIND "${text}" "${anchor}" found)
if(found EQUAL -1)
  message(FATAL_ERROR "${OCTET_XGRAMMAR_SOURCE}: expected XGrammar 0.2.8, whose parser has '${anchor}'")
endif()
string(REPLACE "${anchor}" "::octet::grammar::checkpoint(); ${anchor}" text "${text}")
file(CONFIGURE OUTPUT ${parser} CONTENT "namespace octet::grammar { void checkpoint(); }\n${text}" @ONLY)

file(GLOB_RECURSE sources ${OCTET_XGRAMMAR_SOURCE}/cpp/*.cc)
list(FILTER sources EXCLUDE REGEX "/cpp/(tvm_ffi/.*|earley_parser)\\.cc$")
add_library(octet_xgrammar STATIC ${sources} ${parser})
target_include_directories(octet_xgrammar SYSTEM
  PUBLIC ${OCTET_XGRAMMAR_SOURCE}/include ${OCTET_XGRAMMAR_SOURCE}/3rdparty/dlpack/include
  PRIVATE ${OCTET_XGRAMMAR_SOURCE}/cpp ${OCTET_XGRAMMAR_SOURCE}/3rdparty/picojson)
target_compile_definitions(octet_xgrammar PRIVATE XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0
                                                  XGRAMMAR_LOG_CUSTOMIZE=1)
# Not ours to warn about, nor to mend. At -O1 it compiles in half of the time; masks take a tenth of a millisecond.
target_compile_options(octet_xgrammar PRIVATE -w -O1)
# No sanitizer is for it either: code of others, which one thread at a time runs on objects that our locks hand over, and
# whose containers' memory is the allocator's, which a sanitizer watches anyway.
if(OCTET_SANITIZE)
  target_compile_options(octet_xgrammar PRIVATE -fno-sanitize=all -g0)
endif()
# Two files of it have names in common that a group may have only once.
set_source_files_properties(${OCTET_XGRAMMAR_SOURCE}/cpp/converter_ext/minimax_m3.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_target_properties(octet_xgrammar PROPERTIES CXX_STANDARD 17 UNITY_BUILD ${OCTET_UNITY} UNITY_BUILD_BATCH_SIZE 12)
