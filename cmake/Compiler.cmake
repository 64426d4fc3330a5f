# Line tables and names are what a stack trace needs; full type information doubles the build's time and size.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

# How every target is compiled: warnings as errors, hardening, and the sanitizers that a preset asks for.
add_library(keyd_options INTERFACE)
target_compile_options(keyd_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Werror
  -fvisibility=hidden -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False with Asio's coroutine frames at -O1 and above (GCC 12).
  target_compile_options(keyd_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-mismatched-new-delete>)
endif()
target_include_directories(keyd_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(keyd_options INTERFACE _GNU_SOURCE KEYD_VERSION="${PROJECT_VERSION}")
target_link_options(keyd_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)

if(KEYD_SANITIZE)
  # For every target of the tree, the generated and the C ones too.
  add_compile_options(-fsanitize=${KEYD_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KEYD_SANITIZE})
  if(KEYD_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

# One target a folder: keyd_library(name SOURCES… [DEPENDS …]).
function(keyd_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC keyd_options ${ARG_DEPENDS})
endfunction()

# A C program that links the sanitized C++ library needs the sanitizers' C++ run-time.
function(keyd_link_sanitizer target)
  if(KEYD_SANITIZE)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  endif()
endfunction()
