# Two checks of every access make a third of the compile time of templates (JSON, tests) and are left out of them: null,
# where the address sanitizer stops too, and alignment. The files of intrinsics, whose accesses may be unaligned unless
# the CPU itself checks, leave them out too.
if(OCTET_SANITIZE MATCHES undefined)
  set(OCTET_FEW_CHECKS_FLAGS -fno-sanitize=null,alignment)
endif()

# octet_room(NAME SOURCES a.cc … [USES room …] [LIBRARIES lib …] [READS_BY_ADDRESS])
#
# One room = one static library octet_NAME from src/NAME/. USES are the rooms whose headers it may
# include (tests/layers_test.py compares them with the real #include lines); LIBRARIES are third-party
# and stay private to the room. Include paths are "room/file.h" from src/ and <octet/file.h>. READS_BY_ADDRESS: numbers
# are read out of mapped files and vectors there, whose alignment the sanitizer checks.
function(octet_room name)
  cmake_parse_arguments(ARG "READS_BY_ADDRESS" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  add_library(octet_${name} STATIC ${ARG_SOURCES})
  target_include_directories(octet_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM ARG_USES PREPEND octet_)
  target_link_libraries(octet_${name} PUBLIC ${ARG_USES} PRIVATE ${ARG_LIBRARIES})
  if(NOT ARG_READS_BY_ADDRESS)
    target_compile_options(octet_${name} PRIVATE ${OCTET_FEW_CHECKS_FLAGS})
  endif()
endfunction()

# octet_compile_together(TARGET GROUP a.cc b.cc …): compiles sources of TARGET as one file (OCTET_UNITY), which parses
# their headers once. A name in an anonymous namespace may then stand in only one file of the group. A source in no
# group is compiled alone, as all are with -DOCTET_UNITY=OFF.
function(octet_compile_together target group)
  if(OCTET_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
    set_source_files_properties(${ARGN} PROPERTIES UNITY_GROUP ${group})
  endif()
endfunction()

# octet_cpu_has(FLAG VARIABLE): whether this machine's CPU has FLAG, a word of /proc/cpuinfo.
function(octet_cpu_has flag variable)
  set(line "")
  if(EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo line REGEX "^flags.* ${flag}( |$)" LIMIT_COUNT 1)
  endif()
  string(COMPARE NOTEQUAL "${line}" "" found)
  set(${variable} ${found} PARENT_SCOPE)
endfunction()

# octet_test(ROOM SOURCES a_test.cc … [GOLDEN Suite]): builds tests/ROOM/*.cc into one GoogleTest program ROOM_test.
# GOLDEN is the suite that runs the real model: minutes under a sanitizer and on both cores, hence a ctest entry of its
# own, ROOM_golden_test.
function(octet_test room)
  cmake_parse_arguments(ARG "" "GOLDEN" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${room}_test ${ARG_SOURCES})
  target_link_libraries(${room}_test PRIVATE octet_${room} ${ARG_LIBRARIES} GTest::gtest GTest::gtest_main)
  target_include_directories(${room}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${room}_test PRIVATE OCTET_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # -O2 would take twice the time.
  target_compile_options(${room}_test PRIVATE $<IF:$<CONFIG:Release>,-O1,-O0> ${OCTET_FEW_CHECKS_FLAGS})
  if(ARG_GOLDEN)
    add_test(NAME ${room}_test COMMAND ${room}_test --gtest_filter=-${ARG_GOLDEN}.*)
    add_test(NAME ${room}_golden_test COMMAND ${room}_test --gtest_filter=${ARG_GOLDEN}.*)
    set_tests_properties(${room}_golden_test PROPERTIES PROCESSORS 2 LABELS release_only)
  else()
    add_test(NAME ${room}_test COMMAND ${room}_test)
  endif()
endfunction()
