# The tier `kernel`: its programs are compiled by clang for the kernel's BPF machine, and come into keyd as a header
# that bpftool makes. Where one of them or libbpf is missing, it is left out, and keyd says so when asked for it.
option(KEYD_KERNEL_TIER "Build the tier `kernel` where clang, bpftool and libbpf are there" ON)
set(KEYD_HAS_KERNEL_TIER OFF)
if(KEYD_KERNEL_TIER)
  find_program(KEYD_BPF_CLANG NAMES clang clang-19 clang-14)
  find_program(KEYD_BPFTOOL bpftool PATHS /usr/sbin /sbin)
  pkg_check_modules(LIBBPF IMPORTED_TARGET libbpf>=1.1)
  if(KEYD_BPF_CLANG AND KEYD_BPFTOOL AND LIBBPF_FOUND)
    set(KEYD_HAS_KERNEL_TIER ON)
  else()
    message(WARNING "The tier kernel is left out: it needs clang, bpftool and libbpf-dev. "
                    "This keyd will reach the tier watch at best.")
  endif()
endif()

# keyd_bpf_programs(target program.bpf.c): program.skel.h in the target's include path.
function(keyd_bpf_programs target source)
  get_filename_component(name ${source} NAME)
  string(REPLACE ".bpf.c" "" name ${name})
  set(directory ${PROJECT_BINARY_DIR}/generated/bpf)
  file(MAKE_DIRECTORY ${directory})
  add_custom_command(
    OUTPUT ${directory}/${name}.bpf.o
    COMMAND ${KEYD_BPF_CLANG} -g -O2 -Wall -Werror -target bpf -mcpu=v3 -I${PROJECT_SOURCE_DIR}
            -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -MD -MF ${directory}/${name}.d
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${directory}/${name}.bpf.o
    DEPENDS ${source} DEPFILE ${directory}/${name}.d VERBATIM)
  add_custom_command(
    OUTPUT ${directory}/${name}.skel.h
    COMMAND ${KEYD_BPFTOOL} gen skeleton ${directory}/${name}.bpf.o name ${name}_bpf > ${directory}/${name}.skel.h
    DEPENDS ${directory}/${name}.bpf.o VERBATIM)
  target_sources(${target} PRIVATE ${directory}/${name}.skel.h)
  target_include_directories(${target} SYSTEM PRIVATE ${directory})
endfunction()
