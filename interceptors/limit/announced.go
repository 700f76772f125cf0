package limit

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/delay"
)

// This file reads what a server tells of its limit.

// countFields are the pairs of fields that tell how much is left, and when that is reset. The names
// are in the form of http.Header's keys.
var countFields = [...]struct{ remaining, reset string }{
	{"Ratelimit-Remaining", "Ratelimit-Reset"},
	{"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
	{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
}

// response is what is read of a response.
type response struct {
	status int
	header http.Header
	now    time.Time
}

// pause returns how long the server wants to get no request. It is zero if the server does not ask
// for a pause.
func (r response) pause() time.Duration {
	isRefusal := r.status == http.StatusTooManyRequests
	wait := time.Duration(0)
	if isRefusal || r.status == http.StatusServiceUnavailable {
		wait = delay.Of(r.header, r.now)
	}
	for _, list := range r.header["Ratelimit"] {
		wait = max(wait, r.parseRateLimit(list))
	}
	for _, names := range countFields {
		// A refusal that does not tell how much is left leaves no doubt.
		left := first(r.header[names.remaining])
		if isExhausted(left) || isRefusal && left == "" {
			wait = max(wait, r.parseWait(first(r.header[names.reset])))
		}
	}
	return min(max(wait, 0), longestPause)
}

// serverNow is the present time by the clock of the server, since the local clock may differ.
func (r response) serverNow() time.Time {
	if sent, err := http.ParseTime(r.header.Get("Date")); err == nil {
		return sent
	}
	return r.now
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// isExhausted reports whether a count says that nothing is left.
func isExhausted(count string) bool {
	if count == "" {
		return false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	return err == nil && n <= 0
}

// parseWait reads a time from now on: a number of seconds, a number of seconds or milliseconds since
// 1970, a date, or a text such as 1m30s. It returns zero for any other value, and for a time that
// has passed.
func (r response) parseWait(value string) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return r.secondsOf(n)
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(r.serverNow()), 0)
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0
	}
	return max(d, 0)
}

// secondsOf is the wait for a number. No server asks for a wait of three years, so a number as large
// as that counts from 1970.
func (r response) secondsOf(n float64) time.Duration {
	const threeYears = 1e8
	if n >= 1000*threeYears {
		n /= 1000
	}
	if n >= threeYears {
		n -= float64(r.serverNow().UnixNano()) / float64(time.Second)
	}

	// A larger number could overflow a Duration, and a NaN is no wait.
	if n > 0 {
		return time.Duration(math.Min(n, longestPause.Seconds()) * float64(time.Second))
	}
	return 0
}

// parseRateLimit reads one line of a RateLimit field. Its draft has had two forms:
//
//	"burst";r=0;t=2, "daily";r=900;t=3600
//	limit=100, remaining=0, reset=30
//
// In the first form each item is a limit of its own. The second form has one limit.
func (r response) parseRateLimit(line string) (wait time.Duration) {
	var whole item
	for part := range splitOutsideQuotes(line, ',') {
		var own item

		for param := range splitOutsideQuotes(part, ';') {
			name, value, _ := strings.Cut(param, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			// The first form.
			case "r":
				own.remaining = value
			case "t":
				own.reset = value

			// The second form.
			case "remaining":
				whole.remaining = value
			case "reset":
				whole.reset = value
			}
		}

		wait = max(wait, r.parseItem(own))
	}
	return max(wait, r.parseItem(whole))
}

// item is one limit of a RateLimit field.
type item struct{ remaining, reset string }

func (r response) parseItem(i item) time.Duration {
	if !isExhausted(i.remaining) {
		return 0
	}
	return r.parseWait(i.reset)
}

// splitOutsideQuotes yields the parts of s between separators that are not in a quoted string
// (RFC 9651 §3.3.3). A backslash is valid in a quoted string alone.
func splitOutsideQuotes(s string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		begin, isQuoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\':
				i++
			case s[i] == '"':
				isQuoted = !isQuoted
			case s[i] == separator && !isQuoted:
				if !yield(s[begin:i]) {
					return
				}
				begin = i + 1
			}
		}
		yield(s[begin:])
	}
}
