// An attacker's connection, led to one of the stages of the protocol, and what keyd says on it.
#pragma once

#include <array>
#include <string>

#include "tests/support/raw_client.h"

namespace keyd::testing {

// The phases of docs/protocols/challenge.md; Challenged is three, for a renewal has a session beside it, and
// kryptoknight awaits another message: Answered.
enum class Stage { kFresh, kChallenged, kEstablished, kRenewing, kHandedOver, kAnswered };
inline constexpr std::array kStages{Stage::kFresh,    Stage::kChallenged, Stage::kEstablished,
                                    Stage::kRenewing, Stage::kHandedOver, Stage::kAnswered};
const char* name_of(Stage stage);

// What keyd said, as the client at the other end can tell.
enum class Said {
  kNothing,   // no packet
  kNumbers,   // or what stands in their place in kryptoknight
  kFinished,  // and it proves that keyd knows the password
  kReply,     // a sealed record that opens, and is no refusal
  kTable,
  kDenied,
  kRefusedInside,  // in a sealed record
  kRefused,        // outside; ends the connection, if not the answer to a renewal
  kUnproven,       // a Finished or a record that does not open
};

struct Answer {
  Said said = Said::kNothing;
  wire::RefusalCode code = wire::REFUSAL_UNSPECIFIED;
  bool operator==(const Answer&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);

class Conversation {
 public:
  Conversation(const std::string& runtime_dir, Stage stage, const std::string& user = "alice",
               const std::string& password = "right");
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  [[nodiscard]] bool reached() const { return reached_; }

  // Packets, not sent. What needs keys that this stage has not got is made of octets of the right form.
  Bytes start(bool renews);
  Bytes proof();
  Bytes knight_start(bool renews);
  Bytes password();
  Bytes record(const wire::SessionRequest& request);

  // Sends, and takes what comes back.
  Answer say(ByteView packet);
  Answer hear();
  // After a challenge was had in a dishonest way: proves the password upon it, as if nothing had been.
  Answer prove_all_the_same();
  // Whether keyd has closed the connection. To be asked after something else was answered by keyd.
  [[nodiscard]] bool is_closed() const;

  RawClient raw;
  Bytes heard;  // the last packet, as it came

 private:
  bool advance_to(Stage stage);
  Answer judge(const wire::ServerPacket& packet);

  std::string runtime_dir_, user_, password_, session_id_;
  bool reached_;
};

// 32 times the same octet, for what must be fresh and need not be random here.
wire::Fresh fresh_of(char octet);

}  // namespace keyd::testing
