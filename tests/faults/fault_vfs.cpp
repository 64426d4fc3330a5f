// What a power cut leaves: of each file, its content at the last sync, and of the writes since then none or
// some. Directory entries are taken to be durable at once; shared memory is not a file here.
#include "tests/faults/fault_vfs.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/support/content.h"

namespace keyd::testing {
namespace {

enum Call {
  kOpen,
  kDelete,
  kRead,
  kWrite,
  kTruncate,
  kSync,
  kSize,
  kLock,
  kUnlock,
  kShmMap,
  kShmLock,
  kCalls
};

// What SQLite's own VFS makes of the two errors at each call; 0: the call cannot fail so.
struct Errors {
  int no_space, io_error;
};
constexpr Errors kErrors[kCalls] = {
    /* kOpen     */ {SQLITE_CANTOPEN, SQLITE_CANTOPEN},
    /* kDelete   */ {0, SQLITE_IOERR_DELETE},
    /* kRead     */ {0, SQLITE_IOERR_READ},
    /* kWrite    */ {SQLITE_FULL, SQLITE_IOERR_WRITE},
    /* kTruncate */ {0, SQLITE_IOERR_TRUNCATE},
    /* kSync     */ {SQLITE_IOERR_FSYNC, SQLITE_IOERR_FSYNC},
    /* kSize     */ {0, SQLITE_IOERR_FSTAT},
    /* kLock     */ {0, SQLITE_IOERR_LOCK},
    /* kUnlock   */ {0, 0},
    /* kShmMap   */ {SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHMMAP},
    /* kShmLock  */ {0, SQLITE_IOERR_SHMLOCK},
};

struct Write {
  sqlite3_int64 offset;
  std::string data;
};
struct Unsynced {
  std::string durable;
  std::vector<Write> writes;
};

sqlite3_vfs* system_vfs = nullptr;
Fault armed = Fault::kKill;
bool counting = false;
int counted = 0, target = 0;
std::map<std::string, Unsynced> unsynced;

struct FaultFile {
  sqlite3_file base;
  std::string* path;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
FaultFile& ours(sqlite3_file* file) { return *reinterpret_cast<FaultFile*>(file); }
const sqlite3_io_methods& methods_of(sqlite3_file* file) { return *ours(file).real()->pMethods; }

void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

void cut_power(bool some_survive) {
  for (auto& [path, file] : unsynced) {
    std::string left = file.durable;
    for (std::size_t i = 1; some_survive && i < file.writes.size(); i += 2) {
      const Write& write = file.writes[i];
      const auto offset = static_cast<std::size_t>(write.offset);
      if (left.size() < offset + write.data.size()) left.resize(offset + write.data.size());
      left.replace(offset, write.data.size(), write.data);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << left;
  }
  die();
}

bool can_hit(Call call) {
  switch (armed) {
    case Fault::kTornWrite: return call == kWrite;
    case Fault::kNoSpace:
    case Fault::kNoSpaceOnward: return kErrors[call].no_space != 0;
    case Fault::kIoError:
    case Fault::kIoErrorOnward: return kErrors[call].io_error != 0;
    default: return true;
  }
}

// SQLITE_OK, or what the call is to fail with. A torn write is the caller's to do.
int at(Call call, bool* torn = nullptr) {
  if (!counting || !can_hit(call)) return SQLITE_OK;
  ++counted;
  const bool onward = armed == Fault::kNoSpaceOnward || armed == Fault::kIoErrorOnward;
  if (target == 0 || (onward ? counted < target : counted != target)) return SQLITE_OK;
  switch (armed) {
    case Fault::kKill: die(); break;
    case Fault::kPowerCut: cut_power(false); break;
    case Fault::kPowerCutSome: cut_power(true); break;
    case Fault::kTornWrite: *torn = true; break;
    case Fault::kNoSpace:
    case Fault::kNoSpaceOnward: return kErrors[call].no_space;
    case Fault::kIoError:
    case Fault::kIoErrorOnward: return kErrors[call].io_error;
  }
  return SQLITE_OK;
}

void remember(FaultFile& file) {
  if (file.path != nullptr && !unsynced.contains(*file.path))
    unsynced[*file.path] = {content_of(*file.path), {}};
}

// ---- a file's methods

int close_file(sqlite3_file* file) {
  const int status = methods_of(file).xClose(ours(file).real());
  delete ours(file).path;
  file->pMethods = nullptr;
  return status;
}
int read_file(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
  if (const int error = at(kRead); error != SQLITE_OK) return error;
  return methods_of(file).xRead(ours(file).real(), data, size, offset);
}
int write_file(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  bool torn = false;
  if (const int error = at(kWrite, &torn); error != SQLITE_OK) return error;
  if (torn) {
    (void)methods_of(file).xWrite(ours(file).real(), data, size / 2, offset);
    die();
  }
  remember(ours(file));
  if (ours(file).path != nullptr) {
    unsynced[*ours(file).path].writes.push_back(
        {offset, std::string(static_cast<const char*>(data), static_cast<std::size_t>(size))});
  }
  return methods_of(file).xWrite(ours(file).real(), data, size, offset);
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (const int error = at(kTruncate); error != SQLITE_OK) return error;
  remember(ours(file));
  return methods_of(file).xTruncate(ours(file).real(), size);
}
int sync_file(sqlite3_file* file, int) {
  if (const int error = at(kSync); error != SQLITE_OK) return error;
  if (ours(file).path != nullptr) unsynced.erase(*ours(file).path);
  return SQLITE_OK;  // nobody cuts the real power
}
int size_of_file(sqlite3_file* file, sqlite3_int64* size) {
  if (const int error = at(kSize); error != SQLITE_OK) return error;
  return methods_of(file).xFileSize(ours(file).real(), size);
}
int lock_file(sqlite3_file* file, int level) {
  if (const int error = at(kLock); error != SQLITE_OK) return error;
  return methods_of(file).xLock(ours(file).real(), level);
}
int unlock_file(sqlite3_file* file, int level) {
  (void)at(kUnlock);
  return methods_of(file).xUnlock(ours(file).real(), level);
}
int check_reserved(sqlite3_file* file, int* out) {
  return methods_of(file).xCheckReservedLock(ours(file).real(), out);
}
int control_file(sqlite3_file* file, int what, void* argument) {
  return methods_of(file).xFileControl(ours(file).real(), what, argument);
}
int sector_size(sqlite3_file* file) { return methods_of(file).xSectorSize(ours(file).real()); }
int characteristics(sqlite3_file* file) { return methods_of(file).xDeviceCharacteristics(ours(file).real()); }
int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  if (const int error = at(kShmMap); error != SQLITE_OK) return error;
  return methods_of(file).xShmMap(ours(file).real(), region, size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  if ((flags & SQLITE_SHM_LOCK) != 0) {  // giving a lock back does not fail
    if (const int error = at(kShmLock); error != SQLITE_OK) return error;
  }
  return methods_of(file).xShmLock(ours(file).real(), offset, n, flags);
}
void shm_barrier(sqlite3_file* file) { methods_of(file).xShmBarrier(ours(file).real()); }
int shm_unmap(sqlite3_file* file, int remove) {
  return methods_of(file).xShmUnmap(ours(file).real(), remove);
}

constexpr sqlite3_io_methods kMethods = {
    2,         close_file,  read_file,      write_file,   truncate_file, sync_file,       size_of_file,
    lock_file, unlock_file, check_reserved, control_file, sector_size,   characteristics, shm_map,
    shm_lock,  shm_barrier, shm_unmap,      nullptr,      nullptr};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  if (const int error = at(kOpen); error != SQLITE_OK) return error;
  FaultFile& mine = ours(file);
  const int status = system_vfs->xOpen(system_vfs, name, mine.real(), flags, out_flags);
  if (mine.real()->pMethods == nullptr) return status;
  mine.path = name == nullptr ? nullptr : new std::string(name);
  file->pMethods = &kMethods;
  return status;
}
int delete_file(sqlite3_vfs*, const char* name, int sync_directory) {
  if (const int error = at(kDelete); error != SQLITE_OK) return error;
  unsynced.erase(name);
  return system_vfs->xDelete(system_vfs, name, sync_directory);
}

}  // namespace

const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::kKill: return "kill";
    case Fault::kPowerCut: return "power cut";
    case Fault::kPowerCutSome: return "power cut, some writes kept";
    case Fault::kTornWrite: return "torn write";
    case Fault::kNoSpace: return "ENOSPC";
    case Fault::kNoSpaceOnward: return "ENOSPC onward";
    case Fault::kIoError: return "EIO";
    case Fault::kIoErrorOnward: return "EIO onward";
  }
  return "";
}

bool kills(Fault fault) { return fault <= Fault::kTornWrite; }

namespace fault_vfs {

void install() {
  if (system_vfs != nullptr) return;
  system_vfs = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = *system_vfs;
  vfs.zName = "faults";
  vfs.szOsFile = static_cast<int>(sizeof(FaultFile)) + system_vfs->szOsFile;
  vfs.xOpen = open_file;
  vfs.xDelete = delete_file;
  sqlite3_vfs_register(&vfs, 1);
}

void arm(Fault fault, int point) {
  armed = fault;
  target = point;
  counted = 0;
  counting = true;
}

int disarm() {
  counting = false;
  return counted;
}

}  // namespace fault_vfs
}  // namespace keyd::testing
