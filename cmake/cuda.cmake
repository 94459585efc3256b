# The module _cuda: csrc/cuda/*.cu behind csrc/bindings_cuda.cpp. Included by CMakeLists.txt; leaves the CPU build alone.
#
#   RAD_FAST_CUDA=AUTO  (default) build it where there are a compiler and a GPU, for that GPU: a source install stays short,
#                       and a machine that could not run the module does not wait for it
#   RAD_FAST_CUDA=ON    build it or fail, for CMAKE_CUDA_ARCHITECTURES or, where that is not given, for all that are listed
#                       below: for wheels, and for building where there is no GPU
#   RAD_FAST_CUDA=OFF   do not
#
# The compiler: CUDACXX, an nvcc on the path, a toolkit under CUDA_HOME, CUDA_PATH or /usr/local/cuda, or the package
# nvidia-cuda-nvcc of the Python that builds (pip install "rad_fast[cuda-build]").
#   pip install . -C cmake.define.RAD_FAST_CUDA=ON -C cmake.define.CMAKE_CUDA_ARCHITECTURES=90

set(RAD_FAST_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO (where there are nvcc and a GPU), ON or OFF")
set_property(CACHE RAD_FAST_CUDA PROPERTY STRINGS AUTO ON OFF)
# Machine code for each generation, so that nothing is compiled at load; PTX of the newest for those to come.
set(RAD_FAST_CUDA_GENERATIONS 80 86 89 90 100 120)

if(NOT RAD_FAST_CUDA OR RAD_FAST_CUDA STREQUAL "OFF")
  message(STATUS "rad_fast: CUDA kernels: not built (RAD_FAST_CUDA=${RAD_FAST_CUDA})")
  return()
endif()

# Ends this file: loudly where CUDA was asked for. A macro, so that return() leaves the file.
macro(rad_fast_no_cuda reason)
  if(RAD_FAST_CUDA STREQUAL "AUTO")
    message(STATUS "rad_fast: CUDA kernels: not built: ${reason}")
    return()
  endif()
  message(FATAL_ERROR "rad_fast: RAD_FAST_CUDA=${RAD_FAST_CUDA}, but ${reason}")
endmacro()

# ------------------------------------------------------------------------------------------------------- which generations
if(RAD_FAST_CUDA STREQUAL "AUTO" AND NOT CMAKE_CUDA_ARCHITECTURES)
  find_program(RAD_FAST_NVIDIA_SMI nvidia-smi)
  mark_as_advanced(RAD_FAST_NVIDIA_SMI)
  set(found "")
  if(RAD_FAST_NVIDIA_SMI)
    execute_process(COMMAND ${RAD_FAST_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE found ERROR_QUIET RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
      set(found "")
    endif()
  endif()
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" found "${found}")
  list(REMOVE_DUPLICATES found)
  if(NOT found)
    rad_fast_no_cuda("no GPU on this machine; RAD_FAST_CUDA=ON builds them nevertheless")
  endif()
  string(REPLACE "." "" found "${found}")
  list(TRANSFORM found APPEND "-real")
  set(CMAKE_CUDA_ARCHITECTURES ${found})
endif()

# ------------------------------------------------------------------------------------------------------------- the compiler
# Through the environment: CMake takes CUDACXX as a user's choice, and a compiler that cannot link then says why, where
# CMAKE_CUDA_COMPILER set here would only read NOTFOUND, for ever (it is cached).
if("${CMAKE_CUDA_COMPILER}" MATCHES "NOTFOUND$")
  unset(CMAKE_CUDA_COMPILER CACHE)
endif()
set(nvcc "$ENV{CUDACXX}")
if(NOT nvcc AND CMAKE_CUDA_COMPILER)
  set(nvcc "${CMAKE_CUDA_COMPILER}")
endif()
if(NOT nvcc)
  execute_process(COMMAND ${Python_EXECUTABLE} -c
                  "import glob, sysconfig; print(';'.join(glob.glob(sysconfig.get_path('purelib') + '/nvidia/cu*/bin')))"
                  OUTPUT_VARIABLE packaged OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  unset(RAD_FAST_NVCC CACHE)  # looked for each time: it may have come or gone
  find_program(RAD_FAST_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin /opt/cuda/bin ${packaged})
  mark_as_advanced(RAD_FAST_NVCC)
  set(nvcc "${RAD_FAST_NVCC}")
endif()
if(NOT nvcc)
  rad_fast_no_cuda("no nvcc found; install a CUDA toolkit, or: pip install \"rad_fast[cuda-build]\"")
endif()
execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE version ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  rad_fast_no_cuda("${nvcc} does not run: ${status}")
endif()
string(REGEX MATCH "V([0-9.]+)" version "${version}")
if(CMAKE_MATCH_1 VERSION_LESS 12.0)  # C++17, __grid_constant__ and clusters together
  rad_fast_no_cuda("${nvcc} is of CUDA ${CMAKE_MATCH_1}, older than 12.0")
endif()
message(STATUS "rad_fast: CUDA compiler: ${nvcc} (${CMAKE_MATCH_1})")

if(NOT CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${nvcc} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
  set(CMAKE_CUDA_ARCHITECTURES "")
  foreach(generation IN LISTS RAD_FAST_CUDA_GENERATIONS)
    if("${known}" MATCHES "sm_${generation}[^0-9a-z]")
      list(APPEND CMAKE_CUDA_ARCHITECTURES ${generation}-real)
      set(newest ${generation})
    endif()
  endforeach()
  list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
endif()

# The PyPI packages keep libraries in lib, where their nvcc does not look; an installed toolkit has no use for this.
get_filename_component(nvcc_real "${nvcc}" REALPATH)
get_filename_component(cuda_root "${nvcc_real}" DIRECTORY)
get_filename_component(cuda_lib "${cuda_root}/../lib" ABSOLUTE)
set(library_path "$ENV{LIBRARY_PATH}")
set(compiler "$ENV{CUDACXX}")
set(ENV{CUDACXX} "${nvcc}")
if(EXISTS "${cuda_lib}/libcudart_static.a")
  set(ENV{LIBRARY_PATH} "${cuda_lib}:${library_path}")
else()
  set(cuda_lib "")
endif()
if(CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX} AND NOT CMAKE_CUDA_HOST_COMPILER)
  set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")  # one C++ library in the module, not two
endif()
if(RAD_FAST_CUDA STREQUAL "AUTO")
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)
    rad_fast_no_cuda("${nvcc} compiles no program here; RAD_FAST_CUDA=ON shows its errors")
  endif()
endif()
enable_language(CUDA)
set(ENV{CUDACXX} "${compiler}")
set(ENV{LIBRARY_PATH} "${library_path}")

# ---------------------------------------------------------------------------------------------------------------- the module
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)  # the module loads where there is no CUDA at all, and then says so
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")

pybind11_add_module(_cuda MODULE NO_EXTRAS csrc/bindings_cuda.cpp csrc/bindings_cuda_classes.cpp csrc/arrays.cpp
  csrc/cuda/score.cu csrc/cuda/game.cu csrc/cuda/classes.cu csrc/cuda/sample.cu csrc/cuda/order.cu csrc/cuda/keys.cu
  csrc/cuda/memory.cu)
string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
target_compile_definitions(_cuda PRIVATE RAD_FAST_CUDA_ARCHITECTURES="${architectures}")
# No fast-math on any target: NaN must stay NaN, and the game's float64 must round as NumPy's does. What must not be fused
# into one rounding is written with the IEEE intrinsics (csrc/cuda/platform.hpp), so that fma stays available for the rest.
target_compile_options(_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -Wall -Wextra>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
# The runtime's own symbols stay inside: two modules with two static runtimes must not find each other's.
target_link_options(_cuda PRIVATE -Wl,--exclude-libs,ALL)
if(cuda_lib)
  target_link_directories(_cuda PRIVATE "${cuda_lib}")
endif()
install(TARGETS _cuda LIBRARY DESTINATION rad_fast)
message(STATUS "rad_fast: CUDA kernels: built for ${architectures}")
