# Everything comes from Debian 12; the list of packages is in `deps`.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(Boost 1.81 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(LIBCAP REQUIRED IMPORTED_TARGET libcap)
pkg_check_modules(LIBCRYPT REQUIRED IMPORTED_TARGET libcrypt)
pkg_check_modules(LIBPWQUALITY REQUIRED IMPORTED_TARGET pwquality)
find_library(LIBCRACK crack REQUIRED)
pkg_check_modules(LIBSECCOMP REQUIRED IMPORTED_TARGET libseccomp)

# The parser of untrusted bytes: the lite runtime, no reflection.
add_library(keyd_protobuf INTERFACE)
target_link_libraries(keyd_protobuf INTERFACE protobuf::libprotobuf-lite)

# What judges a new password.
add_library(keyd_password_quality INTERFACE)
target_link_libraries(keyd_password_quality INTERFACE PkgConfig::LIBPWQUALITY ${LIBCRACK})
