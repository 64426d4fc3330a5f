// The C ABI: the handle, the session, and the planned exec.
#include <fcntl.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "core/base/untrusted_text.h"
#include "libkeyclient/src/login.h"
#include "libkeyclient/src/password_change.h"
#include "libkeyclient/src/planned_exec.h"

namespace keyd::client {
namespace {
thread_local std::string last_error;
}

keyclient_status report(const Failure& failure) {
  last_error = failure.text;
  return failure.status;
}
keyclient_status report(keyclient_status status, std::string text) {
  return report(Failure{status, std::move(text)});
}

}  // namespace keyd::client

using namespace keyd;
using namespace keyd::client;

namespace {

Target target_of(const keyclient_options* options) {
  Target target;
  if (const char* directory = ::secure_getenv("KEYD_RUNTIME_DIR");
      directory != nullptr && *directory != '\0') {
    target.runtime_dir = directory;
  }
  if (options == nullptr) return target;
  if (options->runtime_dir != nullptr) target.runtime_dir = options->runtime_dir;
  if (options->server_name != nullptr) target.server_name = options->server_name;
  if (options->timeout_ms != 0) target.timeout_ms = options->timeout_ms;
  return target;
}

}  // namespace

extern "C" {

const char* keyclient_status_text(keyclient_status status) {
  switch (status) {
    case KEYCLIENT_OK: return "done";
    case KEYCLIENT_DENIED: return "denied";
    case KEYCLIENT_REFUSED: return "refused";
    case KEYCLIENT_NOT_FOUND: return "not found";
    case KEYCLIENT_NOT_AUTHENTICATED: return "not authenticated";
    case KEYCLIENT_INVALID: return "invalid";
    case KEYCLIENT_UNREACHABLE: return "keyd cannot be reached";
    case KEYCLIENT_DEADLINE: return "out of time";
    case KEYCLIENT_BUSY: return "busy";
    case KEYCLIENT_GONE: return "the session is over";
    case KEYCLIENT_UNKNOWN: return "unknown";
    case KEYCLIENT_UNSUPPORTED: return "unsupported";
    case KEYCLIENT_FORKED: return "the handle is the parent process's";
    case KEYCLIENT_CANCELLED: return "cancelled";
    case KEYCLIENT_TOO_SMALL: return "the buffer is too small";
    case KEYCLIENT_SERVER_UNPROVEN: return "the server did not prove itself";
    case KEYCLIENT_INTERNAL: return "internal error";
    case KEYCLIENT_THROTTLED: return "too many failed tries; wait";
  }
  return "unknown status";
}

const char* keyclient_version(void) { return KEYD_VERSION; }
const char* keyclient_error(void) { return keyd::client::last_error.c_str(); }

keyclient_status keyclient_open(const keyclient_options* options, keyclient_t** out) {
  return guarded([&]() -> keyclient_status {
    if (out == nullptr || (options != nullptr && !has_size(options)))
      return report(KEYCLIENT_INVALID, "no place for the handle, or options without their size");
    *out = nullptr;
    auto client = std::make_unique<keyclient_handle>();
    client->target = target_of(options);
    // Whether keyd is there is told now, not at the first use.
    auto link = KeydLink::connect(client->target);
    if (!link) return report(link.error());
    *out = client.release();
    return KEYCLIENT_OK;
  });
}

void keyclient_close(keyclient_t* client) { delete client; }

keyclient_status keyclient_authenticate(keyclient_t* client, const keyclient_login* login) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(login))
      return report(KEYCLIENT_INVALID, "no handle, or a login without its size");
    if (client->owner != ::getpid())
      return report(KEYCLIENT_FORKED, "the handle belongs to the parent process");
    auto choice = choice_of(*login);
    if (!choice) return report(choice.error());
    const std::lock_guard lock(client->mutex);
    auto session = authenticate(*client, Login{std::move(*choice), [login] { return ask_password(*login); },
                                               login->password == nullptr});
    if (!session) return report(session.error());
    client->session.emplace(std::move(*session));
    client->descriptor = client->session->descriptor();
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_rekey(keyclient_t* client) {
  return with_session(client, [](Session& session) {
    const auto done = session.rekey();
    return done ? KEYCLIENT_OK : report(done.error());
  });
}

keyclient_status keyclient_end(keyclient_t* client) {
  return with_session(client, [client](Session& session) {
    const auto done = session.end();
    const keyclient_status status = done ? KEYCLIENT_OK : report(done.error());
    client->descriptor = -1;
    client->session.reset();
    return status;
  });
}

int keyclient_change_requested(keyclient_t* client) {
  if (client == nullptr || client->owner != ::getpid()) return 0;
  const std::lock_guard lock(client->mutex);
  return client->session && client->session->change_requested() ? 1 : 0;
}

keyclient_status keyclient_change_password(keyclient_t* client, keyclient_change* change) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(change) || change->ask == nullptr ||
        (change->words == nullptr && change->word_count != 0))
      return report(KEYCLIENT_INVALID, "no handle, or a change without its size, callback or words");
    if (client->owner != ::getpid())
      return report(KEYCLIENT_FORKED, "the handle belongs to the parent process");
    change->changed = 0;
    {
      const std::lock_guard lock(client->mutex);
      if (!client->session)
        return report(KEYCLIENT_NOT_AUTHENTICATED, "no session; call keyclient_authenticate first");
    }
    const auto done = change_password(*client, *change);
    return done ? KEYCLIENT_OK : report(done.error());
  });
}

int keyclient_descriptor(const keyclient_t* client) {
  return client == nullptr ? -1 : client->descriptor.load();
}

keyclient_status keyclient_credential(keyclient_t* client, const char* name, void* buffer, size_t* size) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (name == nullptr || size == nullptr || (buffer == nullptr && *size != 0))
      return report(KEYCLIENT_INVALID, "no name or no buffer");
    if (!is_acceptable_name(name)) return report(KEYCLIENT_INVALID, "not a credential name");
    const auto value = session.credential(name);
    if (!value) return report(value.error());
    const std::size_t room = std::exchange(*size, value->size());
    if (value->size() > room) return report(KEYCLIENT_TOO_SMALL, "the credential is larger than the buffer");
    std::memcpy(buffer, value->reveal().data(), value->size());
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_credential_names(keyclient_t* client, void (*visit)(void*, const char*),
                                            void* context) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (visit == nullptr) return report(KEYCLIENT_INVALID, "no callback");
    const auto names = session.credential_names();
    if (!names) return report(names.error());
    for (const std::string& name : *names) visit(context, name.c_str());
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_echo(keyclient_t* client, const void* data, size_t size, void* out) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (size > wire::kMaxCredential || (size != 0 && (data == nullptr || out == nullptr)))
      return report(KEYCLIENT_INVALID, "0 to 65536 octets, and room for them");
    const auto back = session.echo({static_cast<const std::uint8_t*>(data), size});
    if (!back) return report(back.error());
    if (back->size() != size) return report(KEYCLIENT_GONE, "keyd sent something else back");
    if (size != 0) std::memcpy(out, back->reveal().data(), size);
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_export_key(keyclient_t* client, const char* label, void* out, size_t size) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (label == nullptr || out == nullptr)
      return report(KEYCLIENT_INVALID, "no label or no room for the key");
    const auto done = session.channel().export_key(label, {static_cast<std::uint8_t*>(out), size});
    return done ? KEYCLIENT_OK : report(failure_of(done.error()));
  });
}

// ---- planned exec

keyclient_status keyclient_plan_exec(keyclient_t* client, int* socket, int* keys) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if ((socket == nullptr) != (keys == nullptr))
      return report(KEYCLIENT_INVALID, "a place for both descriptors, or for none");
    if (socket == nullptr) {
      const auto planned = session.plan_exec();
      if (!planned) return report(planned.error());
      client->descriptor = -1;
      client->session.reset();
      return KEYCLIENT_OK;
    }
    // All that can fail here comes before the announcement.
    if (!session.can_be_handed_over())
      return report(KEYCLIENT_UNSUPPORTED, "a session with a key for each command is not handed over");
    auto key_fd = make_key_descriptor(Session::kHandoverSize);
    if (!key_fd) return report(key_fd.error());
    UniqueFd link(::fcntl(session.descriptor(), F_DUPFD_CLOEXEC, 3));
    if (!link.valid()) return report(KEYCLIENT_BUSY, "no descriptor left");
    if (auto stored = store_handover(key_fd->get(), {}); !stored) return report(stored.error());
    const auto handover = session.plan_exec();
    if (!handover) return report(handover.error());
    for (const auto& step : {store_handover(key_fd->get(), handover->reveal()), keep_over_exec(link.get()),
                             keep_over_exec(key_fd->get())}) {
      if (!step) return report(step.error());
    }
    *socket = link.release();
    *keys = key_fd->release();
    client->descriptor = -1;
    client->session.reset();
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_adopt(const keyclient_options* options, keyclient_t** out) {
  return guarded([&]() -> keyclient_status {
    if (out == nullptr || (options != nullptr && !has_size(options)))
      return report(KEYCLIENT_INVALID, "no place for the handle, or options without their size");
    *out = nullptr;
    auto inherited = take_inherited(Session::kHandoverSize);
    if (!inherited) return report(inherited.error());
    auto client = std::make_unique<keyclient_handle>();
    client->target = target_of(options);
    auto session = Session::adopt(KeydLink(std::move(inherited->socket), client->target.timeout_ms),
                                  inherited->handover.reveal());
    if (!session) return report(session.error());
    client->session.emplace(std::move(*session));
    client->descriptor = client->session->descriptor();
    *out = client.release();
    return KEYCLIENT_OK;
  });
}

}  // extern "C"
