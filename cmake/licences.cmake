# The licences of code by others that is compiled in, which must go wherever the library, the program or the wheel goes.
# The global property OCTET_LICENCES lists their files, by the names that they are installed under.

# octet_add_licence(NAME FILE): FILE, as NAME.
function(octet_add_licence name file)
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "${name}: expected a file, found '${file}'")
  endif()
  set(copy ${PROJECT_BINARY_DIR}/licences/${name})
  configure_file("${file}" ${copy} COPYONLY)
  set_property(GLOBAL APPEND PROPERTY OCTET_LICENCES ${copy})
endfunction()

# octet_add_licence_of_package(NAME PACKAGE): what Debian's PACKAGE says, as LICENSE.NAME; elsewhere the file that
# OCTET_LICENCE_NAME names.
function(octet_add_licence_of_package name package)
  string(TOUPPER OCTET_LICENCE_${name} variable)
  set(${variable} /usr/share/doc/${package}/copyright CACHE FILEPATH "The licence of ${name}, to install with Octet")
  if(EXISTS ${${variable}})
    octet_add_licence(LICENSE.${name} ${${variable}})
  else()
    message(WARNING "${${variable}} is not there: what is installed lacks the licence of ${name}, whose headers are "
                    "compiled in. Name its file with -D${variable}=FILE")
  endif()
endfunction()

# octet_add_licence_at_head(NAME HEADER): the comment that HEADER begins with, up to its end.
function(octet_add_licence_at_head name header)
  file(READ ${header} text)
  string(FIND "${text}" "*/" end)
  string(SUBSTRING "${text}" 0 ${end} text)
  if(NOT text MATCHES "^/\\*.*Copyright.*(Redistribution|Permission is hereby granted).*(DAMAGE|SOFTWARE)")
    message(FATAL_ERROR "${header}: expected its licence at its head")
  endif()
  file(WRITE ${PROJECT_BINARY_DIR}/licences/${name} "${text}*/\n")
  set_property(GLOBAL APPEND PROPERTY OCTET_LICENCES ${PROJECT_BINARY_DIR}/licences/${name})
endfunction()
