/*
 * A stand-in for ioctl(2) on /dev/sev-guest, for tests of the binding: it checks the request as the Linux driver does
 * and answers as the first line of the file says that stands in for the device: `MODE ERRNO TABLE`.
 *
 *   MODE    ok | plain (no extended requests) | busy (two of three times) | always-busy | firmware | status | size | table
 *   ERRNO   fails every call with this number, unless 0
 *   TABLE   length of the certificate table, bytes; one entry, then 0xcc
 *
 * The structures are those of linux/sev-guest.h.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct report_request { uint8_t user_data[64]; uint32_t vmpl; uint8_t reserved[28]; };
struct extended_request { struct report_request data; uint64_t certs_address; uint32_t certs_len; };
struct guest_request {
  uint8_t msg_version;
  uint64_t req_data;
  uint64_t resp_data;
  union { uint64_t exitinfo2; struct { uint32_t fw_error; uint32_t vmm_error; }; };
};

static int calls;

static int fail(int number) { errno = number; return -1; }

int ioctl(int fd, unsigned long code, void *argument) {
  char script[128] = {0}, mode[32] = "";
  int number = 0;
  uint32_t table = 0;
  if (pread(fd, script, sizeof script - 1, 0) < 0) return -1;
  sscanf(script, "%31s %d %u", mode, &number, &table);
  calls += 1;
  if (number != 0) return fail(number);
  int extended = code == 0xC0205302ul;
  if (!extended && code != 0xC0205300ul) return fail(ENOTTY);
  if (extended && strcmp(mode, "plain") == 0) return fail(ENOTTY);

  struct guest_request *guest = argument;
  struct extended_request *request = (struct extended_request *)(uintptr_t)guest->req_data;
  uint8_t *response = (uint8_t *)(uintptr_t)guest->resp_data;
  if (guest->msg_version != 1) return fail(EINVAL);
  for (size_t i = 0; i < sizeof request->data.reserved; i += 1)
    if (request->data.reserved[i] != 0) return fail(EINVAL);
  if (strcmp(mode, "always-busy") == 0 || (strcmp(mode, "busy") == 0 && calls % 3 != 0)) {
    guest->vmm_error = 2;
    return fail(EIO);
  }
  if (strcmp(mode, "firmware") == 0) {
    guest->fw_error = 0x17;
    return fail(EIO);
  }
  if (extended && table > 0) {
    if (request->certs_len % 4096 != 0 || request->certs_address == 0) return fail(EINVAL);
    if (table > request->certs_len) {
      request->certs_len = (table + 4095) / 4096 * 4096;
      guest->vmm_error = 1;
      return fail(EIO);
    }
    uint8_t *certs = (uint8_t *)(uintptr_t)request->certs_address;
    memset(certs, 0, request->certs_len);
    if (strcmp(mode, "table") == 0) memset(certs, 0xcc, request->certs_len);
    else {
      uint32_t offset = 48, size = table - 48;
      memset(certs, 0x63, 16);
      memcpy(certs + 16, &offset, 4);
      memcpy(certs + 20, &size, 4);
      memset(certs + offset, 0xcc, size);
    }
  }
  memset(response, 0, 4000);
  uint32_t status = strcmp(mode, "status") == 0 ? 0x16 : 0, size = strcmp(mode, "size") == 0 ? 1000 : 1184;
  memcpy(response, &status, 4);
  memcpy(response + 4, &size, 4);
  uint8_t *report = response + 0x20;
  report[0] = 3;
  memcpy(report + 0x30, &request->data.vmpl, 4);
  memcpy(report + 0x50, request->data.user_data, 64);
  return 0;
}
