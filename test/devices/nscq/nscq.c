/*
 * A stand-in for libnvidia-nscq.so, for tests of the binding. It answers from the files of DIRECTORY, which is given when it
 * is compiled:
 *
 *   fail           `WHAT CODE`: this function, or the callback of this path's last part, gets this code
 *   switch-N.pem   the certificate chain of switch N; as many switches as there are such files, from 0
 *   switch-N.spdm  the report of switch N, whatever nonce is asked for
 *   nonce          is written: the nonce that was last given
 *
 * The structures are those of NVIDIA's nscq_attestation.h: a session comes back in a structure by value, and reports and
 * chains are given to callbacks by value.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int8_t nscq_rc_t;
typedef struct nscq_session_st { uint32_t flags; } *nscq_session_t;
typedef struct { nscq_rc_t rc; nscq_session_t session; } nscq_session_result_t;
typedef struct { uint8_t bytes[16]; } nscq_uuid_t;
typedef struct { char data[64]; } nscq_label_t;
typedef struct { uint32_t report_size; uint8_t report[0x2000]; } nscq_attestation_report_t;
typedef struct { uint8_t cert_chain[0x1400]; uint32_t cert_chain_size; } nscq_attestation_certificate_t;
typedef void (*nscq_fn_t)(void);

typedef void (*uuid_fn)(const nscq_uuid_t *, nscq_rc_t, const nscq_uuid_t *, void *);
typedef void (*report_fn)(const nscq_uuid_t *, nscq_rc_t, nscq_attestation_report_t, void *);
typedef void (*certificate_fn)(const nscq_uuid_t *, nscq_rc_t, nscq_attestation_certificate_t, void *);

_Static_assert(sizeof(nscq_session_result_t) == 16, "session");
_Static_assert(sizeof(nscq_attestation_report_t) == 8196, "report");
_Static_assert(sizeof(nscq_attestation_certificate_t) == 5124, "certificate");

static long read_file(const char *name, void *into, size_t most) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", DIRECTORY, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  long length = (long)fread(into, 1, most, file);
  fclose(file);
  return length;
}

static nscq_rc_t scripted(const char *what) {
  char script[256] = {0}, name[128];
  int code;
  if (read_file("fail", script, sizeof script - 1) > 0 && sscanf(script, "%127s %d", name, &code) == 2 &&
      strcmp(name, what) == 0)
    return (nscq_rc_t)code;
  return 0;
}

nscq_session_result_t nscq_session_create(uint32_t flags) {
  nscq_session_result_t result = {scripted("nscq_session_create"), NULL};
  if (result.rc >= 0) {
    result.session = malloc(sizeof *result.session);
    result.session->flags = flags;
  }
  return result;
}

void nscq_session_destroy(nscq_session_t session) { free(session); }

nscq_rc_t nscq_uuid_to_label(const nscq_uuid_t *uuid, nscq_label_t *label, uint32_t flags) {
  snprintf(label->data, sizeof label->data, "SWX-%02X", uuid->bytes[0] + flags);
  return scripted("nscq_uuid_to_label");
}

nscq_rc_t nscq_session_set_input(nscq_session_t session, uint32_t flags, void *input, uint32_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/nonce", DIRECTORY);
  FILE *file = fopen(path, "wb");
  if (session == NULL || flags != 0 || file == NULL) return -128;
  fwrite(input, 1, size, file);
  fclose(file);
  return scripted("nscq_session_set_input");
}

static nscq_rc_t observe_switch(unsigned int index, const char *what, nscq_fn_t callback, void *data) {
  nscq_uuid_t uuid = {{(uint8_t)index}};
  char name[48];
  if (strcmp(what, "certificate") == 0) {
    nscq_attestation_certificate_t chain = {{0}, 0};
    snprintf(name, sizeof name, "switch-%u.pem", index);
    chain.cert_chain_size = (uint32_t)read_file(name, chain.cert_chain, sizeof chain.cert_chain);
    ((certificate_fn)callback)(&uuid, scripted(what), chain, data);
    return 0;
  }
  if (strcmp(what, "attestation_report") == 0) {
    nscq_attestation_report_t report = {0, {0}};
    snprintf(name, sizeof name, "switch-%u.spdm", index);
    report.report_size = (uint32_t)read_file(name, report.report, sizeof report.report);
    ((report_fn)callback)(&uuid, scripted(what), report, data);
    return 0;
  }
  return -5;
}

nscq_rc_t nscq_session_path_observe(nscq_session_t session, const char *path, nscq_fn_t callback, void *data,
                                    uint32_t flags) {
  if (session == NULL || session->flags != 1 || flags != 0) return -128;
  nscq_rc_t rc = scripted("nscq_session_path_observe");
  if (rc < 0) return rc;
  if (strcmp(path, "/drv/nvswitch/{device}/uuid") == 0) {
    char name[48], byte;
    for (unsigned int index = 0; index < 16; index += 1) {
      snprintf(name, sizeof name, "switch-%u.pem", index);
      if (read_file(name, &byte, 1) < 0) break;
      nscq_uuid_t uuid = {{(uint8_t)index}};
      ((uuid_fn)callback)(&uuid, scripted("uuid"), &uuid, data);
    }
    return rc;
  }
  unsigned int index;
  char what[64];
  if (sscanf(path, "/SWX-%2X/config/%63s", &index, what) != 2) return -2;
  nscq_rc_t observed = observe_switch(index, what, callback, data);
  return observed < 0 ? observed : rc;
}
