package limit

import (
	"net/http"
	"testing"
	"time"
)

// FuzzAnnounced_AnyTextIsAPauseOfAtMostAnHour gives each text to each field.
func FuzzAnnounced_AnyTextIsAPauseOfAtMostAnHour(f *testing.F) {
	for _, seed := range []string{
		"", "7", "-1", "1e999", "NaN", "946684800", "1m30s", "Sat, 01 Jan 2000 00:00:00 GMT",
		`"burst";r=0;t=2, "daily";r=0;t=1e400`, `"a\`, `"a;r=0`, "limit=1, remaining=0, reset=-9",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		r := response{status: http.StatusTooManyRequests, now: time.Now(), header: http.Header{
			"Date": {b}, "Retry-After": {a}, "Ratelimit": {a, b}, "Ratelimit-Reset": {b},
			"X-Ratelimit-Remaining": {b}, "X-Ratelimit-Reset": {a},
		}}
		if wait := r.pause(); wait < 0 || wait > longestPause {
			t.Fatalf("a pause of %v", wait)
		}
	})
}
