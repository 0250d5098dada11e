# octet_room(NAME SOURCES a.cc … [USES room …] [LIBRARIES lib …])
#
# One room = one static library octet_NAME from src/NAME/. USES are the rooms whose headers it may
# include (tests/layers_test.py compares them with the real #include lines); LIBRARIES are third-party
# and stay private to the room. Include paths are "room/file.h" from src/ and <octet/file.h>.
function(octet_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  add_library(octet_${name} STATIC ${ARG_SOURCES})
  target_include_directories(octet_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM ARG_USES PREPEND octet_)
  target_link_libraries(octet_${name} PUBLIC ${ARG_USES} PRIVATE ${ARG_LIBRARIES})
endfunction()

# octet_test(ROOM FILE …): builds tests/ROOM/FILE.cc … into one GoogleTest program ROOM_test.
function(octet_test room)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${room}_test ${ARG_SOURCES})
  target_link_libraries(${room}_test PRIVATE octet_${room} ${ARG_LIBRARIES} GTest::gtest GTest::gtest_main)
  target_include_directories(${room}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${room}_test PRIVATE OCTET_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${room}_test COMMAND ${room}_test)
endfunction()
