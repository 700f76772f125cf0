package axle_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/axletest"
)

// The two engines: what both have to keep, and what resty adds.

// TestEngine_BothKeepTheRules runs tests over resty that run over net/http by themselves. The rules that they are named after are
// about what is sent, what comes back and what is closed, and hold over either engine.
func TestEngine_BothKeepTheRules(t *testing.T) {
	axletest.RunOverResty(t, map[string]func(*testing.T){
		"redirect: method and body":            TestAdvisory_RedirectsRewriteMethodAndBodyAsRFC9110Says,
		"redirect: HEAD":                       TestRedirect_HEADStaysHEAD,
		"redirect: headers of a dropped body":  TestRedirect_ABodyThatIsDroppedTakesItsHeadersWithIt,
		"redirect: a stream is sent whole":     TestRedirect_AStreamIsResentWholeAlsoIfItWasNotReadToItsEnd,
		"redirect: a stream beyond the limit":  TestP14_AStreamBeyondTheReplayLimitIsNotResentButRefused,
		"redirect: too many":                   TestRedirect_TenAreFollowedAndOneMoreIsTooMany,
		"redirect: another scheme":             TestAdvisory_ARedirectToAnotherSchemeIsRefused,
		"redirect: nowhere":                    TestRedirect_OneThatLeadsNowhere,
		"redirect: cookies":                    TestRedirect_CookiesThatItSetsAreSentOnTheNextHop,
		"redirect: the time limit":             TestRedirect_TheTimeLimitIsOfTheWholeDispatch,
		"redirect: a spent body":               TestRedirect_ABodyThatIsSpentIsStillABadOption,
		"redirect: the client's check":         TestRedirectCheck_TheClientsIsAskedBeforeEachRedirectOfEachCall,
		"redirect: a check's error":            TestRedirectCheck_ItsErrorIsTheCauseOfTheCallsError,
		"redirect: the last response":          TestRedirectCheck_ErrUseLastResponseMakesTheRedirectTheResponse,
		"redirect: a check and credentials":    TestRedirectCheck_ItCannotTakeACredentialToAnotherOrigin,
		"pages: links after a redirect":        TestPages_ALinkIsRelativeToWhereARedirectLed,
		"pages: credentials":                   TestPages_NoCredentialFollowsALinkToAnotherOrigin,
		"poll: where the job is":               TestPoll_FollowsTheURLThatAResponseNames,
		"events: a cut":                        TestEvents_ACutIsConnectedAgainFromTheLastWholeEvent,
		"events: compressed":                   TestEvents_AServerMayCompressThem,
		"events: the limit":                    TestEvents_TheResponseLimitHoldsForEachEventAndNotForTheStream,
		"events: a break closes":               TestEvents_ABreakAndAPanicInTheLoopCloseTheConnection,
		"body: types and lengths":              TestBody_EveryTypeIsSentWithItsContentTypeAndLength,
		"body: no length":                      TestBody_AReaderWithoutALengthIsSentWithoutOne,
		"body: verbs":                          TestP7_ABodyIsSentWithEveryVerb,
		"body: seekers and buffers":            TestBody_SeekersAndBuffersAreSentFromWhereTheyStandAndPutBack,
		"body: a reader is not read ahead":     TestP14_AnOpaqueReaderIsPulledByTheTransportAndNotReadAhead,
		"body: a reader is closed":             TestP10_TheRequestsReaderIsClosedWhenTheCallIsDoneOnEveryPath,
		"body: Content-Length":                 TestContentLength_OfAReaderIsSentAndHeldTo,
		"response: damaged gzip":               TestError_DamagedGzipIsABadResponseAndABrokenNetworkIsNot,
		"response: several encodings":          TestResponse_SeveralEncodingsAreNotHalfDecoded,
		"response: encodings that are asked":   TestDecompressor_AcceptEncodingNamesWhatTheClientUndoes,
		"response: deflate":                    TestDecompressor_DeflateIsUndoneInBothOfItsFormats,
		"response: an encoding of one's own":   TestDecompressor_OneOfOnesOwnUndoesItsEncoding,
		"response: encodings in order":         TestDecompressor_SeveralEncodingsAreUndoneFromTheLastToTheFirst,
		"response: damaged data":               TestDecompressor_DamagedDataIsABadResponseAndABrokenNetworkIsNot,
		"response: a decompressor is closed":   TestDecompressor_IsClosedWithTheBodyOnEveryPath,
		"response: a range of gzip":            TestResponse_ARangeOfGzipIsNotDecompressed,
		"response: time limits":                TestResponse_ATimeLimitBoundsTheBodyOrTheHeadersOfAStream,
		"response: closed by who replaces it":  TestCall_AResponseThatAHandlerTakesOutOfPlayIsClosed,
		"response: open if it is handed on":    TestCall_AResponseThatIsHandedOnStaysOpen,
		"response: read before handlers run":   TestCall_UnlessStreamingBodiesAreReadAndClosedBeforeHandlersRun,
		"response: closed by a panic":          TestCall_APanicOfAHandlerClosesTheBodiesAndPropagates,
		"header: one name, one header":         TestHeader_OneNameIsOneHeaderInWhateverCaseAHandlerWritesIt,
		"replay: the same body":                TestReplay_SendsTheSameBody,
		"replay: from the caller's request":    TestR11_ReplayStartsFromTheRequestAsTheCallerBuiltIt,
		"replay: many at a time":               TestReplay_ManyAtATimeFromOneHandler,
		"call: refused statuses":               TestCall_StatusesThatValidateStatusRefusesAreErrors,
		"call: a fresh request for a dispatch": TestP5_EveryDispatchIsAFreshEngineRequest,
	})
}

// What SetEngine is for: resty's own features, beneath the chains.

func TestEngine_RestysHooksRunOnEachDispatchBeneathTheHandlers(t *testing.T) {
	var trace callTrace
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		trace.add("server " + r.Header.Get("X-Hook") + " " + r.URL.Query().Get("q"))
		_, _ = io.WriteString(w, "body")
	})
	c.SetEngine(func(rc *resty.Client) {
		rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			trace.add("before " + r.Method + " " + r.Header.Get("X-Handler"))
			r.SetHeader("X-Hook", "h").SetQueryParam("q", "1")
			return nil
		})
		rc.OnAfterResponse(func(_ *resty.Client, r *resty.Response) error {
			trace.add("after " + r.String())
			return nil
		})
		rc.OnSuccess(func(_ *resty.Client, r *resty.Response) { trace.add("success " + r.Status()) })
	})
	useRequest(c, func(r *axle.Request) { trace.add("request"); r.SetHeader("X-Handler", "1") })
	replayed := false
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		trace.add("response " + resp.String())
		if replayed {
			return resp, nil
		}
		replayed = true
		return resp.Request.Replay()
	})

	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "body", resp.String())
	once := []string{"request", "before GET 1", "server h 1", "after body", "success 200 OK"}
	assert.Equal(t, append(append(append([]string{}, once...), "response body"), once...), trace.taken())
}

func TestEngine_ThePreRequestHookRunsLastAndSeesTheRequestAsItWillBeSent(t *testing.T) {
	var trace callTrace
	c := newLoopback(t, func(http.ResponseWriter, *http.Request) { trace.add("server") })
	c.SetEngine(func(rc *resty.Client) {
		rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			trace.add("before")
			r.SetHeader("X-Hook", "h").SetQueryParam("q", "1")
			return nil
		})
		rc.SetPreRequestHook(func(_ *resty.Client, r *http.Request) error {
			body, err := r.GetBody()
			require.NoError(t, err)
			sent, err := io.ReadAll(body)
			require.NoError(t, err)
			trace.add(fmt.Sprintf("pre %s %s %s %s %s", r.Method, r.URL.RequestURI(),
				r.Header.Get("X-Handler"), r.Header.Get("X-Hook"), sent))
			return nil
		})
	})
	useRequest(c, func(r *axle.Request) { r.SetHeader("X-Handler", "1") })

	_, err := c.Post(t.Context(), "/", "body")
	require.NoError(t, err)
	assert.Equal(t, []string{"before", "pre POST /?q=1 1 h body", "server"}, trace.taken())
}

func TestEngine_HandlersDoNotSeeWhatRestyAddsToARequest(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Resty")+r.URL.RawQuery)
	})
	c.SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Resty", "added").SetQueryParam("resty", "added") })
	see := func(r *axle.Request) {
		assert.Empty(t, r.Header.Get("X-Resty"))
		assert.Empty(t, r.Query)
	}
	useRequest(c, see)

	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "addedresty=added", resp.String())
	see(resp.Request)
}

func TestEngine_BehindTheBridgeTheTransportOfTheRestyClientIsAllThatIsUsed(t *testing.T) {
	for name, newClient := range map[string]func(configure func(*resty.Client)) *axle.Client{
		"SetEngine": func(configure func(*resty.Client)) *axle.Client { return axle.New().SetEngine(configure) },
		"FromResty": func(configure func(*resty.Client)) *axle.Client {
			rc := resty.New()
			configure(rc)
			return axle.FromResty(rc)
		},
	} {
		sent := 0
		c := newClient(func(rc *resty.Client) {
			rc.SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent++
				return reply(r, 200, "ok"), nil
			}))
			rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { return errBoom })
			rc.SetPreRequestHook(func(*resty.Client, *http.Request) error { return errBoom })
			rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { return errBoom })
			rc.SetRetryCount(3)
		})

		_, err := c.Get(t.Context(), "http://api.test/")
		require.ErrorIs(t, err, errBoom, "%s: a call of the client runs them", name)
		require.Zero(t, sent, name)

		resp, err := c.HTTPClient().Get("http://api.test/")
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close(), name)
		assert.Equal(t, 1, sent, name)
	}
}

func TestEngine_WhatAnAfterResponseHookMakesOfTheBodyIsTheResponses(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"data":{"id":7}}`))
	c.SetEngine(func(rc *resty.Client) {
		rc.OnAfterResponse(func(_ *resty.Client, r *resty.Response) error {
			r.SetBody(bytes.TrimSuffix(bytes.TrimPrefix(r.Body(), []byte(`{"data":`)), []byte("}")))
			return nil
		})
	})
	item, err := axle.Get[benchItem](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, 7, item.ID)
}

func TestEngine_AnErrorOfAHookFailsTheCallWithItAsTheCause(t *testing.T) {
	var network watchedBodies
	c, transport := newFakeClient(network.Answer)
	c.SetEngine(func(rc *resty.Client) {
		rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			if r.Header.Get("X-Fail") == "before" {
				return errBoom
			}
			return nil
		})
		rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { return errBoom })
	})
	for i, when := range []string{"before", "after"} {
		_, err := c.R(t.Context()).SetHeader("X-Fail", when).Get("/")
		require.ErrorIs(t, err, errBoom, when)
		assert.NotNil(t, asAxle(t, err).Request)
		assert.EqualValues(t, i, transport.Sent.Load(), when)
	}
	assert.Empty(t, network.Open())
}

func TestEngine_RestysErrorObjectIsDecodedForItsHooks(t *testing.T) {
	type problem struct{ Message string }
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 422, `{"message":"no"}`)
		resp.Header.Set("Content-Type", "application/json")
		return resp, nil
	})
	got := ""
	c.SetEngine(func(rc *resty.Client) {
		rc.SetError(&problem{})
		rc.OnAfterResponse(func(_ *resty.Client, r *resty.Response) error {
			if p, ok := r.Error().(*problem); ok {
				got = p.Message
			}
			return nil
		})
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, "no", got)
	assert.JSONEq(t, `{"message":"no"}`, asAxle(t, err).Response.String(), "the chains have the body too")
}

func TestEngine_TheHooksOfAStreamedCallLeaveItsBodyUnread(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	before, after := 0, 0
	c.SetEngine(func(rc *resty.Client) {
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { before++; return nil })
		rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { after++; return nil })
	})
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Equal(t, []int{1}, network.Open())
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, "streamed", string(body))
	assert.Equal(t, []int{1, 0}, []int{before, after})
	assert.Empty(t, network.Open())
}

func TestEngine_RestysDebugLogShowsTheRequestAndTheResponse(t *testing.T) {
	c, _ := newFakeClient(always(200, "the body"))
	var log restyLog
	c.SetEngine(func(rc *resty.Client) { rc.SetDebug(true).SetLogger(&log) })
	_, err := c.Get(t.Context(), "/items")
	require.NoError(t, err)
	assert.Contains(t, log.String(), "GET  /items  HTTP/1.1")
	assert.Contains(t, log.String(), "the body")
}

// restyLog is a resty.Logger.
type restyLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *restyLog) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, format, args...)
}

func (l *restyLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *restyLog) Errorf(format string, args ...any) { l.printf(format, args...) }
func (l *restyLog) Warnf(format string, args ...any)  { l.printf(format, args...) }
func (l *restyLog) Debugf(format string, args ...any) { l.printf(format, args...) }

func TestEngine_RestysTraceMeasuresTheDispatch(t *testing.T) {
	c := newLoopback(t, func(http.ResponseWriter, *http.Request) {})
	var info resty.TraceInfo
	c.SetEngine(func(rc *resty.Client) {
		rc.EnableTrace()
		rc.OnAfterResponse(func(_ *resty.Client, r *resty.Response) error { info = r.Request.TraceInfo(); return nil })
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Positive(t, info.TotalTime)
	assert.NotNil(t, info.RemoteAddr)
}

func TestEngine_RestysDigestAuthenticationAnswersTheChallenge(t *testing.T) {
	md5Hex := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	field := func(header, name string) string {
		found := regexp.MustCompile(`\b` + name + `="?([^",]+)`).FindStringSubmatch(header)
		if found == nil {
			return ""
		}
		return found[1]
	}
	var arrived []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := r.Header.Get("Authorization")
		want := md5Hex(strings.Join([]string{
			md5Hex("ada:realm:secret"), "nonce", field(answer, "nc"), field(answer, "cnonce"), "auth", md5Hex(r.Method + ":/data"),
		}, ":"))
		if field(answer, "response") != want {
			arrived = append(arrived, "challenged "+string(body))
			w.Header().Set("WWW-Authenticate", `Digest realm="realm", nonce="nonce", qop="auth", algorithm=MD5`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		arrived = append(arrived, "let in "+string(body))
	})
	c.SetEngine(func(rc *resty.Client) { rc.SetDigestAuth("ada", "secret") })
	for range 2 {
		_, err := c.Post(t.Context(), "/data", "body")
		require.NoError(t, err)
	}
	_, err := c.R(t.Context()).SetStream(true).SetBody("stream").Post("/data")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"challenged body", "let in body", "challenged body", "let in body", "challenged stream", "let in stream",
	}, arrived)
}

func TestEngine_RestysTLSSettingsHold(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := axle.New().SetBaseURL(server.URL).SetTransport(transport)
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeNetwork, "its certificate is unknown")

	trusted := &http.Transport{}
	defer trusted.CloseIdleConnections()
	c.SetTransport(trusted).SetEngine(func(rc *resty.Client) {
		rc.SetTLSClientConfig(server.Client().Transport.(*http.Transport).TLSClientConfig)
	})
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	resp, err := c.HTTPClient().Get(server.URL)
	require.NoError(t, err, "behind the bridge too")
	require.NoError(t, resp.Body.Close())
}

func TestEngine_RestysMiddlewareMayRefuseACallBeforeAnythingIsSent(t *testing.T) {
	c, transport := newFakeClient(always(200, ""))
	c.SetEngine(func(rc *resty.Client) { rc.SetRateLimiter(onlyOnce(1)) })
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, resty.ErrRateLimitExceeded)
	assert.EqualValues(t, 1, transport.Sent.Load())
}

func TestEngine_AResponseLimitHoldsWhereRestyReadsTheBody(t *testing.T) {
	c, _ := newFakeClient(always(200, "12345"))
	c.SetEngine(func(*resty.Client) {})
	_, err := c.SetResponseLimit(4).Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)
	assert.Equal(t, "1234", asAxle(t, err).Response.String(), "what came within the limit is kept")
	_, err = c.SetResponseLimit(5).Get(t.Context(), "/")
	require.NoError(t, err)
}

// onlyOnce returns a rate limiter that lets so many through.
func onlyOnce(most int) resty.RateLimiter { return &countingLimiter{left: most} }

type countingLimiter struct{ left int }

func (l *countingLimiter) Allow() bool { l.left--; return l.left >= 0 }

func TestEngine_WithoutSetEngineNothingOfRestyReachesARequest(t *testing.T) {
	for name, c := range map[string]*axle.Client{
		"never set": axle.New(),
		"taken off": axle.New().SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Engine", "1") }).SetEngine(nil),
	} {
		var stack string
		c.SetBaseURL("http://axle.test").SetTransport(&fakeTransport{Answer: func(r *http.Request) (*http.Response, error) {
			stack = callers()
			assert.Empty(t, r.Header.Get("X-Engine"), name)
			return reply(r, 200, ""), nil
		}})
		_, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		assert.NotContains(t, stack, "go-resty", name)
	}
}

// callers is the stack of the goroutine that calls it.
func callers() string {
	buf := make([]byte, 64<<10)
	return string(buf[:runtime.Stack(buf, false)])
}
