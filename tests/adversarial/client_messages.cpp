#include "tests/adversarial/client_messages.h"

namespace keyd::testing {
namespace {

using Request = wire::SessionRequest;

template <typename Fill>
Bytes record_of(Conversation& conversation, Fill fill) {
  Request request;
  fill(request);
  return conversation.record(request);
}

constexpr Answer kNumbers{Said::kNumbers}, kFinished{Said::kFinished}, kReply{Said::kReply},
    kTable{Said::kTable};
constexpr Answer kNotNow{Said::kRefused, wire::REFUSAL_OUT_OF_ORDER};
constexpr Answer kNotNowInside{Said::kRefusedInside, wire::REFUSAL_OUT_OF_ORDER};
constexpr Answer kAlready{Said::kRefused, wire::REFUSAL_ALREADY},
    kNoSession{Said::kRefused, wire::REFUSAL_GONE};

// A request of the session: in a renewal it gives the renewal up; only `adopt` is for a new image.
constexpr std::array kInSession{kNotNow, kNotNow, kReply, kReply, kNotNowInside, kNotNow};
constexpr std::array kForNewImage{kNotNow, kNotNow, kNotNowInside, kNotNowInside, kReply, kNotNow};
// One that only another kind of session has.
constexpr std::array kNeverInside{kNotNow, kNotNow, kNotNowInside, kNotNowInside, kNotNowInside, kNotNow};
// Those of a change of password, where a session was made by another exchange than srp.
constexpr Answer kNotThisKind{Said::kRefusedInside, wire::REFUSAL_POLICY},
    kNotAsked{Said::kRefusedInside, wire::REFUSAL_NOT_FOUND};
constexpr std::array kOfAnother{kNotNow, kNotNow, kNotThisKind, kNotThisKind, kNotNowInside, kNotNow};
constexpr std::array kUnasked{kNotNow, kNotNow, kNotAsked, kNotAsked, kNotNowInside, kNotNow};

// clang-format off
const ClientMessage kMessages[] = {
  {"start", Stage::kFresh, [](Conversation& c) { return c.start(false); },
   //Fresh   Challenged Established Renewing   HandedOver Answered
   {kNumbers, kNotNow,  kAlready,   kAlready,  kNotNow,   kNotNow}},
  {"renewal", Stage::kEstablished, [](Conversation& c) { return c.start(true); },
   {kNoSession, kNotNow, kNumbers,  kNumbers,  kNotNow,  kNotNow}},
  {"proof", Stage::kChallenged, [](Conversation& c) { return c.proof(); },
   {kNotNow, kFinished, kNotNow,    kFinished, kNotNow,   kNotNow}},
  {"proof of a renewal", Stage::kRenewing, [](Conversation& c) { return c.proof(); },
   {kNotNow, kFinished, kNotNow,    kFinished, kNotNow,   kNotNow}},
  {"kryptoknight start", Stage::kFresh, [](Conversation& c) { return c.knight_start(false); },
   {kNumbers, kNotNow,  kAlready,   kAlready,  kNotNow,   kNotNow}},
  {"kryptoknight renewal", Stage::kEstablished, [](Conversation& c) { return c.knight_start(true); },
   {kNoSession, kNotNow, kNumbers,  kNumbers,  kNotNow,   kNotNow}},
  {"kryptoknight password", Stage::kAnswered, [](Conversation& c) { return c.password(); },
   {kNotNow, kNotNow,   kNotNow,    kNotNow,   kNotNow,   kFinished}},
  {"table", Stage::kFresh, [](Conversation&) { wire::ClientPacket p; p.mutable_table(); return wire::encode(p); },
   {kTable,  kNotNow,   kTable,     kNotNow,   kNotNow,   kNotNow}, true},
  {"whoami", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_whoami(); }); }, kInSession},
  {"rekey", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { *r.mutable_rekey() = fresh_of('r'); }); }, kInSession},
  {"end", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_end(); }); }, kInSession},
  {"credential", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_credential()->set_name("token"); }); }, kInSession},
  {"credential names", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_credential_names(); }); }, kInSession},
  {"plan-exec", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { *r.mutable_plan_exec() = fresh_of('p'); }); }, kInSession},
  {"adopt", Stage::kHandedOver, [](Conversation& c) {
     return record_of(c, [](Request& r) { *r.mutable_adopt() = fresh_of('a'); }); }, kForNewImage},
  {"echo", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_echo(); }); }, kInSession},
  {"fresh key", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_fresh_key()->set_client_nonce(std::string(16, 'n')); }); },
   kNeverInside},
  {"nested", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_nested()->set_purpose(wire::NESTED_PURPOSE_OLD_PASSWORD); }); },
   kOfAnother},
  {"change asked", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_change_asked()->set_wanted(true); }); }, kOfAnother},
  {"change answer", Stage::kEstablished, [](Conversation& c) {
     return record_of(c, [](Request& r) { r.mutable_change_answer()->set_eap("eap"); }); }, kUnasked},
  {"unknown session request", Stage::kEstablished, [](Conversation& c) { return c.record(Request()); },
   kNeverInside},
};
// clang-format on

}  // namespace

std::span<const ClientMessage> client_messages() { return kMessages; }

}  // namespace keyd::testing
