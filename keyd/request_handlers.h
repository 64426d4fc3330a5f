// The functions behind the request tables, and nothing else: declared here so that the tables read as tables.
#pragma once

#include "core/base/log.h"
#include "keyd/request_table.h"

namespace keyd::daemon {

// challenge_requests.cpp
void handle_challenge_start(Server& server, Connection& connection, const ClientRequest& request);
void handle_challenge_finished(Server& server, Connection& connection, const ClientRequest& request);

// kryptoknight_requests.cpp
void handle_kryptoknight_start(Server& server, Connection& connection, const ClientRequest& request);
void handle_kryptoknight_password(Server& server, Connection& connection, const ClientRequest& request);
void handle_fresh_key(Server& server, Connection& connection, const SessionRequest& request);

// srp_requests.cpp
void handle_srp_start(Server& server, Connection& connection, const ClientRequest& request);
void handle_srp(Server& server, Connection& connection, const ClientRequest& request);

// table_request.cpp
void handle_table(Server& server, Connection& connection, const ClientRequest& request);

// session_requests.cpp
// Refuses inside the session's sealed channel: the session goes on.
void refuse_sealed(Connection& connection, wire::RefusalCode code, std::string text);
void handle_record(Server& server, Connection& connection, const ClientRequest& request);
void handle_whoami(Server& server, Connection& connection, const SessionRequest& request);
void handle_rekey(Server& server, Connection& connection, const SessionRequest& request);
void handle_end(Server& server, Connection& connection, const SessionRequest& request);
void handle_credential(Server& server, Connection& connection, const SessionRequest& request);
void handle_credential_names(Server& server, Connection& connection, const SessionRequest& request);
void handle_plan_exec(Server& server, Connection& connection, const SessionRequest& request);
void handle_adopt(Server& server, Connection& connection, const SessionRequest& request);
void handle_echo(Server& server, Connection& connection, const SessionRequest& request);

// nested_exchange.cpp
void handle_nested(Server& server, Connection& connection, const SessionRequest& request);

// change_requests.cpp
void handle_change_asked(Server& server, Connection& connection, const SessionRequest& request);
void handle_change_answer(Server& server, Connection& connection, const SessionRequest& request);

// enrolment_requests.cpp
void handle_user_add(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_passwd(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_import(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);

// verifier_requests.cpp
void handle_verifier_import(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_verifier_export(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);

// admin_requests.cpp
void handle_user_enable(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_disable(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_unlock(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_remove(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_show(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_user_list(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_change_due(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_credential_set(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_credential_remove(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_credential_list(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_revoke_process(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
void handle_revoke_user(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);

// health_request.cpp
void handle_health(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);

}  // namespace keyd::daemon
