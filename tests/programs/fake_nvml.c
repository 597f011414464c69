/* A library with the C interface of NVML, two GPUs, and faults that a test switches on. */

#include <string.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, TIMEOUT = 10, LOST = 15, SMALL = 7, UNKNOWN = 999 };

static volatile int hangs, lost, unknown;
static volatile unsigned long long xid;
static int devices[2];

void fake_hang(int on) { hangs = on; }
void fake_lose(int on) { lost = on; }
void fake_fail(int on) { unknown = on; }
void fake_xid(unsigned long long number) { xid = number; }

typedef int *device;
typedef struct { unsigned int gpu, memory; } rates;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } process;
typedef struct { device device; unsigned long long type, data; unsigned int gpu, compute; } event;

static int number(device d) { return (int)(d - devices); }

static int state(device d) {
    while (hangs) usleep(1000);
    return lost && number(d) == 1 ? LOST : OK;
}

int nvmlInitWithFlags(unsigned int flags) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "Unknown Error"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int n, device *d) { *d = devices + n; return OK; }
int nvmlDeviceGetIndex(device d, unsigned int *n) { *n = number(d); return OK; }
int nvmlSystemGetDriverVersion(char *t, unsigned int n) { strncpy(t, "550.54", n); return OK; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12040; return OK; }
int nvmlDeviceGetName(device d, char *t, unsigned int n) { strncpy(t, "Fake 1", n); return OK; }
int nvmlDeviceGetUUID(device d, char *t, unsigned int n) {
    strncpy(t, number(d) ? "GPU-1" : "GPU-0", n);
    return OK;
}
int nvmlDeviceGetUtilizationRates(device d, rates *r) {
    r->gpu = 70 + number(d);
    r->memory = 30;
    return state(d);
}
int nvmlDeviceGetMemoryInfo(device d, memory *m) {
    m->total = 80ULL << 30;
    m->used = (10ULL + number(d)) << 30;
    m->free = m->total - m->used;
    return state(d);
}
int nvmlDeviceGetTemperature(device d, unsigned int sensor, unsigned int *t) {
    *t = 55;
    return state(d);
}
int nvmlDeviceGetPowerUsage(device d, unsigned int *mw) {
    *mw = 300500;
    return unknown ? UNKNOWN : state(d);
}
int nvmlDeviceGetEnforcedPowerLimit(device d, unsigned int *mw) { *mw = 700000; return state(d); }
int nvmlDeviceGetClockInfo(device d, unsigned int kind, unsigned int *mhz) {
    *mhz = kind == 1 ? 1980 : 2619;
    return state(d);
}
int nvmlDeviceGetTotalEccErrors(device d, int type, int counter, unsigned long long *count) {
    return NOT_SUPPORTED;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(device d, unsigned long long *reasons) {
    *reasons = 4;
    return state(d);
}
int nvmlDeviceGetComputeRunningProcesses_v3(device d, unsigned int *count, process *found) {
    if (number(d)) {
        *count = 0;
        return OK;
    }
    if (!found) {
        *count = 2;
        return SMALL;
    }
    *count = 2;
    for (int n = 0; n < 2; n++) {
        found[n].pid = n ? 1 : getpid();
        found[n].used = 5ULL << 30;
    }
    return OK;
}
int nvmlEventSetCreate(void **set) { *set = devices; return OK; }
int nvmlDeviceRegisterEvents(device d, unsigned long long types, void *set) { return OK; }
int nvmlEventSetWait_v2(void *set, event *e, unsigned int timeout_ms) {
    if (!xid) return TIMEOUT;
    memset(e, 0, sizeof *e);
    e->device = devices + 1;
    e->data = xid;
    xid = 0;
    return OK;
}
