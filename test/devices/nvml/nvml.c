/*
 * A stand-in for libnvidia-ml.so, for tests of the binding. It answers from the files of DIRECTORY, which is given when it
 * is compiled:
 *
 *   state       `ENVIRONMENT CC DEVTOOLS MULTI_GPU`, the numbers of nvml.h
 *   fail        `FUNCTION CODE`: this function fails with this code; no file, or no such function, fails nothing
 *   gpu-N.pem   the certificate chain of GPU N; as many GPUs as there are such files, from 0
 *   gpu-N.spdm  the report of GPU N, whatever nonce is asked for
 *   live        where it is there, a process answers for the GPUs: the nonce is written to gpu-N.nonce, and the report is
 *               what is in gpu-N.spdm as soon as that answers this nonce
 *
 * The structures are those of nvml.h, with its own names and sizes.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st { unsigned int index; } *nvmlDevice_t;

typedef struct {
  unsigned int environment, ccFeature, devToolsMode;
} nvmlConfComputeSystemState_t;

typedef struct {
  unsigned int version, environment, ccFeature, devToolsMode, multiGpuMode;
} nvmlSystemConfComputeSettings_t;

typedef struct {
  unsigned int certChainSize, attestationCertChainSize;
  unsigned char certChain[0x1000], attestationCertChain[0x1400];
} nvmlConfComputeGpuCertificate_t;

typedef struct {
  unsigned int isCecAttestationReportPresent, attestationReportSize, cecAttestationReportSize;
  unsigned char nonce[0x20], attestationReport[0x2000], cecAttestationReport[0x1000];
} nvmlConfComputeGpuAttestationReport_t;

_Static_assert(sizeof(nvmlConfComputeGpuCertificate_t) == 9224, "certificate");
_Static_assert(sizeof(nvmlConfComputeGpuAttestationReport_t) == 12332, "report");

static int initialized;
static struct nvmlDevice_st devices[32];

static long read_file(const char *name, void *into, size_t most) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", DIRECTORY, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  long length = (long)fread(into, 1, most, file);
  fclose(file);
  return length;
}

static int write_file(const char *name, const void *content, size_t length) {
  char path[4096], draft[4104];
  snprintf(path, sizeof path, "%s/%s", DIRECTORY, name);
  snprintf(draft, sizeof draft, "%s.new", path);
  FILE *file = fopen(draft, "wb");
  if (file == NULL) return 0;
  int written = fwrite(content, 1, length, file) == length;
  return fclose(file) == 0 && written && rename(draft, path) == 0;
}

/* The length of a report that answers the nonce, which is in bytes 4 to 36 of it; -1 when none came in ten seconds. */
static long answer(unsigned int index, const unsigned char *nonce, unsigned char *into, size_t most) {
  char name[32], byte;
  snprintf(name, sizeof name, "gpu-%u.nonce", index);
  int live = read_file("live", &byte, 1) >= 0;
  if (live && !write_file(name, nonce, 32)) return -1;
  snprintf(name, sizeof name, "gpu-%u.spdm", index);
  for (int waited = 0; waited < 10000; waited += 5) {
    long length = read_file(name, into, most);
    if (!live || (length > 36 && memcmp(into + 4, nonce, 32) == 0)) return length;
    usleep(5000);
  }
  return -1;
}

static nvmlReturn_t begin(const char *function) {
  char script[256] = {0}, name[128];
  int code;
  if (read_file("fail", script, sizeof script - 1) > 0 && sscanf(script, "%127s %d", name, &code) == 2 &&
      strcmp(name, function) == 0)
    return code;
  return initialized > 0 ? 0 : 1;
}

static void read_state(unsigned int *into) {
  char text[64] = {0};
  read_file("state", text, sizeof text - 1);
  sscanf(text, "%u %u %u %u", into, into + 1, into + 2, into + 3);
}

nvmlReturn_t nvmlInit_v2(void) {
  initialized += 1;
  nvmlReturn_t code = begin("nvmlInit_v2");
  if (code != 0) initialized -= 1;
  return code;
}

nvmlReturn_t nvmlShutdown(void) {
  nvmlReturn_t code = begin("nvmlShutdown");
  if (code == 0) initialized -= 1;
  return code;
}

nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state) {
  nvmlReturn_t code = begin("nvmlSystemGetConfComputeState");
  if (code != 0) return code;
  unsigned int found[4] = {0};
  read_state(found);
  *state = (nvmlConfComputeSystemState_t){found[0], found[1], found[2]};
  return 0;
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlSystemGetConfComputeSettings(nvmlSystemConfComputeSettings_t *settings) {
  nvmlReturn_t code = begin("nvmlSystemGetConfComputeSettings");
  if (code != 0) return code;
  if (settings->version != (sizeof *settings | 1u << 24)) return 25;
  unsigned int found[4] = {0};
  read_state(found);
  *settings = (nvmlSystemConfComputeSettings_t){settings->version, found[0], found[1], found[2], found[3]};
  return 0;
}
#endif

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
  nvmlReturn_t code = begin("nvmlDeviceGetCount_v2");
  if (code != 0) return code;
  char name[32], byte;
  for (*count = 0; *count < 32; *count += 1) {
    snprintf(name, sizeof name, "gpu-%u.pem", *count);
    if (read_file(name, &byte, 1) < 0) break;
  }
  return 0;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
  nvmlReturn_t code = begin("nvmlDeviceGetHandleByIndex_v2");
  if (code != 0) return code;
  if (index >= 32) return 2;
  devices[index].index = index;
  *device = &devices[index];
  return 0;
}

nvmlReturn_t nvmlDeviceGetConfComputeGpuCertificate(nvmlDevice_t device, nvmlConfComputeGpuCertificate_t *certificate) {
  nvmlReturn_t code = begin("nvmlDeviceGetConfComputeGpuCertificate");
  if (code != 0) return code;
  char name[32];
  snprintf(name, sizeof name, "gpu-%u.pem", device->index);
  long length = read_file(name, certificate->attestationCertChain, sizeof certificate->attestationCertChain);
  certificate->attestationCertChainSize = (unsigned int)length;
  return 0;
}

nvmlReturn_t nvmlDeviceGetConfComputeGpuAttestationReport(nvmlDevice_t device,
                                                          nvmlConfComputeGpuAttestationReport_t *report) {
  nvmlReturn_t code = begin("nvmlDeviceGetConfComputeGpuAttestationReport");
  if (code != 0) return code;
  long length = answer(device->index, report->nonce, report->attestationReport, sizeof report->attestationReport);
  if (length < 0) return 10;
  report->attestationReportSize = (unsigned int)length;
  return 0;
}
