/* A DNS server that is never the bottleneck: answers every A query for every name, as fast as one core can.
 *
 * The answer depends on the name's hash alone: one to five addresses of 11.64.0.0/10, behind zero to three
 * aliases, so that two runs see the same mix. TTL is 300 s by default; ADDRESSES asks for so many, without aliases.
 *     responder ADDRESS PORT [TTL [ADDRESSES]]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 1232, HEADER = 12, MOST = 50 };

static unsigned ttl = 300, fixed = 0;

static uint8_t in[BATCH][SIZE], out[BATCH][SIZE];

static uint8_t *put16(uint8_t *p, unsigned v) { *p++ = v >> 8; *p++ = v; return p; }

static uint8_t *record(uint8_t *p, unsigned owner, unsigned type, unsigned length) {
    p = put16(p, 0xc000 | owner);
    p = put16(p, type);
    p = put16(p, 1);
    p = put16(p, ttl >> 16);
    p = put16(p, ttl);
    return put16(p, length);
}

static size_t answer(const uint8_t *query, size_t length, uint8_t *reply) {
    size_t end = HEADER;
    uint32_t hash = 2166136261u;
    if (length < HEADER + 5 || length > 512) return 0;
    while (end < length && query[end]) {
        for (size_t stop = end + query[end] + 1; end < stop && end < length; end++) hash = (hash ^ query[end]) * 16777619u;
    }
    end += 5;
    if (end > length) return 0;
    memcpy(reply, query, end);
    reply[2] = 0x81;
    reply[3] = 0x80;
    uint8_t *p = reply + end;
    unsigned owner = HEADER, aliases = fixed ? 0 : hash % 4, addresses = fixed ? fixed : 1 + (hash >> 8) % 5;
    for (unsigned i = 0; i < aliases; i++) {
        p = record(p, owner, 5, 5);
        owner = p - reply;
        *p++ = 2;
        *p++ = 'c';
        *p++ = 'a' + i;
        p = put16(p, 0xc000 | HEADER); /* cX.<the name asked for> */
    }
    for (unsigned i = 0; i < addresses; i++) {
        p = record(p, owner, 1, 4);
        uint32_t address = htonl(0x0b400000u | ((hash + i * 7919u) & 0x3fffffu));
        memcpy(p, &address, 4);
        p += 4;
    }
    put16(reply + 4, 1);
    put16(reply + 6, aliases + addresses);
    put16(reply + 8, 0);
    put16(reply + 10, 0);
    return p - reply;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) return 2;
    if (argc > 3) ttl = strtoul(argv[3], NULL, 10);
    if (argc > 4) fixed = strtoul(argv[4], NULL, 10);
    if (fixed > MOST) return 2;
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))}, peer[BATCH];
    int one = 1 << 22, fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, argv[1], &self.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&self, sizeof self)) { perror("bind"); return 1; }
    struct iovec iin[BATCH], iout[BATCH];
    struct mmsghdr min[BATCH], mout[BATCH];
    for (;;) {
        memset(min, 0, sizeof min);
        for (int i = 0; i < BATCH; i++) {
            iin[i] = (struct iovec){in[i], SIZE};
            min[i].msg_hdr = (struct msghdr){.msg_name = &peer[i], .msg_namelen = sizeof peer[i], .msg_iov = &iin[i], .msg_iovlen = 1};
        }
        int got = recvmmsg(fd, min, BATCH, MSG_WAITFORONE, NULL), ready = 0;
        memset(mout, 0, sizeof mout);
        for (int i = 0; i < got; i++) {
            size_t size = answer(in[i], min[i].msg_len, out[i]);
            if (!size) continue;
            iout[ready] = (struct iovec){out[i], size};
            mout[ready].msg_hdr = (struct msghdr){.msg_name = &peer[i], .msg_namelen = sizeof peer[i], .msg_iov = &iout[ready], .msg_iovlen = 1};
            ready++;
        }
        for (int sent = 0; sent < ready;) {
            int now = sendmmsg(fd, mout + sent, ready - sent, 0);
            if (now <= 0) break;
            sent += now;
        }
    }
}
