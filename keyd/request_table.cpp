#include "keyd/request_table.h"

#include <array>

#include "keyd/request_handlers.h"

namespace keyd::daemon {
namespace {

constexpr std::uint8_t kFresh = static_cast<std::uint8_t>(Phase::kFresh);
constexpr std::uint8_t kChallenged = static_cast<std::uint8_t>(Phase::kChallenged);
constexpr std::uint8_t kEstablished = static_cast<std::uint8_t>(Phase::kEstablished);
constexpr std::uint8_t kHandedOver = static_cast<std::uint8_t>(Phase::kHandedOver);

using Client = wire::ClientPacket;
constexpr std::array kClient{
    ClientEntry{Client::kChallengeStart, "challenge-start", kFresh | kChallenged | kEstablished,
                handle_challenge_start},
    ClientEntry{Client::kKryptoknightStart, "kryptoknight-start", kFresh | kChallenged | kEstablished,
                handle_kryptoknight_start},
    ClientEntry{Client::kKryptoknightPassword, "kryptoknight-password", kChallenged,
                handle_kryptoknight_password},
    ClientEntry{Client::kSrpStart, "srp-start", kFresh | kChallenged | kEstablished, handle_srp_start},
    ClientEntry{Client::kSrp, "srp", kChallenged, handle_srp},
    ClientEntry{Client::kFinished, "finished", kChallenged, handle_challenge_finished},
    ClientEntry{Client::kRecord, "record", kChallenged | kEstablished | kHandedOver, handle_record},
    ClientEntry{Client::kTable, "table", kFresh | kEstablished, handle_table},
};

using Session = wire::SessionRequest;
constexpr std::array kSession{
    SessionEntry{Session::kWhoami, "whoami", kEstablished, handle_whoami},
    SessionEntry{Session::kRekey, "rekey", kEstablished, handle_rekey},
    SessionEntry{Session::kEnd, "end", kEstablished, handle_end},
    SessionEntry{Session::kCredential, "credential", kEstablished, handle_credential},
    SessionEntry{Session::kCredentialNames, "credential-names", kEstablished, handle_credential_names},
    SessionEntry{Session::kPlanExec, "plan-exec", kEstablished, handle_plan_exec},
    SessionEntry{Session::kAdopt, "adopt", kHandedOver, handle_adopt},
    SessionEntry{Session::kEcho, "echo", kEstablished, handle_echo},
    SessionEntry{Session::kFreshKey, "fresh-key", kEstablished, handle_fresh_key},
    SessionEntry{Session::kNested, "nested", kEstablished, handle_nested},
    SessionEntry{Session::kChangeAsked, "change-asked", kEstablished, handle_change_asked},
    SessionEntry{Session::kChangeAnswer, "change-answer", kEstablished, handle_change_answer},
};

using Admin = wire::AdminRequest;
constexpr std::array kAdmin{
    AdminEntry{Admin::kUserAdd, "user.add", SecretNeed::kPassword, handle_user_add},
    AdminEntry{Admin::kUserPasswd, "user.passwd", SecretNeed::kPassword, handle_user_passwd},
    AdminEntry{Admin::kUserEnable, "user.enable", SecretNeed::kNone, handle_user_enable},
    AdminEntry{Admin::kUserDisable, "user.disable", SecretNeed::kNone, handle_user_disable},
    AdminEntry{Admin::kUserUnlock, "user.unlock", SecretNeed::kNone, handle_user_unlock},
    AdminEntry{Admin::kUserRemove, "user.remove", SecretNeed::kNone, handle_user_remove},
    AdminEntry{Admin::kUserShow, "user.show", SecretNeed::kNone, handle_user_show},
    AdminEntry{Admin::kUserList, "user.list", SecretNeed::kNone, handle_user_list},
    AdminEntry{Admin::kUserImport, "user.import", SecretNeed::kCryptString, handle_user_import},
    AdminEntry{Admin::kChangeDue, "change-due", SecretNeed::kNone, handle_change_due},
    AdminEntry{Admin::kVerifierImport, "verifier.import", SecretNeed::kVerifier, handle_verifier_import},
    AdminEntry{Admin::kVerifierExport, "verifier.export", SecretNeed::kNone, handle_verifier_export},
    AdminEntry{Admin::kCredentialSet, "credential.set", SecretNeed::kCredential, handle_credential_set},
    AdminEntry{Admin::kCredentialRemove, "credential.remove", SecretNeed::kNone, handle_credential_remove},
    AdminEntry{Admin::kCredentialList, "credential.list", SecretNeed::kNone, handle_credential_list},
    AdminEntry{Admin::kRevokeProcess, "revoke.process", SecretNeed::kNone, handle_revoke_process},
    AdminEntry{Admin::kRevokeUser, "revoke.user", SecretNeed::kNone, handle_revoke_user},
    AdminEntry{Admin::kHealth, "health", SecretNeed::kNone, handle_health},
};

}  // namespace

std::span<const ClientEntry> client_requests() { return kClient; }
std::span<const SessionEntry> session_requests() { return kSession; }
std::span<const AdminEntry> admin_requests() { return kAdmin; }

}  // namespace keyd::daemon
