/* Meets the others at the barrier "round", so many times; POSIX only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void say(int n, const char *word)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%d %s %lld%09ld\n", n, word, (long long)now.tv_sec, now.tv_nsec);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *path = getenv("PLUSH_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int agent = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc != 2 || !path || strlen(path) >= sizeof address.sun_path)
        return 64;
    strcpy(address.sun_path, path);
    if (connect(agent, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        return 69;
    }
    FILE *lines = fdopen(agent, "r");
    for (int n = 1; n <= atoi(argv[1]); n++) {
        static const char enter[] = "{\"do\":\"enter\",\"barrier\":\"round\",\"timeout_ms\":60000}\n";
        char answer[4096] = "";
        say(n, "before");
        if (write(agent, enter, sizeof enter - 1) < 0 || !fgets(answer, sizeof answer, lines))
            return 69;
        if (!strstr(answer, "\"result\":\"released\"")) {
            fprintf(stderr, "not let go: %s", answer);
            return 1;
        }
        say(n, "after");
    }
    return 0;
}
