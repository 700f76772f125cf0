package interceptors_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

// The tests of this file hold for all interceptors that axle ships: a reader of one knows the others.

func TestShape_InstallAddsPairsNamedAsThePackageAndReturnsWhatRemovesThem(t *testing.T) {
	session := store.New[string](nil)
	for name, plugin := range map[string]axle.Plugin{
		"auth":    auth.New(session, nil),
		"breaker": breaker.New(nil),
		"limit":   limit.New(nil),
		"logging": logging.New(nil),
		"retry":   retry.New(nil),
	} {
		client := axle.New()
		uninstall := plugin.Install(client)
		assert.Equal(t, name, client.Interceptors.Request.String(), name)
		assert.Equal(t, name, client.Interceptors.Response.String(), name)

		uninstall()
		assert.Zero(t, client.Interceptors.Request.Len(), name)
		assert.Zero(t, client.Interceptors.Response.Len(), name)
	}
}

func TestShape_FunctionsThatJudgeAnOutcomeGetTheSameInEachInterceptor(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/broken":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()

	var isAsked bool
	var resp *axle.Response
	var err *axle.Error
	judge := func(r *axle.Response, e *axle.Error) bool {
		isAsked, resp, err = true, r, e
		return false
	}
	level := func(r *axle.Response, e *axle.Error) slog.Level {
		judge(r, e)
		return slog.LevelDebug
	}
	quiet := logging.WithLogger(slog.New(slog.DiscardHandler))

	for name, plugin := range map[string]axle.Plugin{
		"breaker": breaker.New(breaker.WithCondition(judge)),
		"logging": logging.New(quiet, logging.WithLevel(level)),
		"retry":   retry.New(retry.WithCondition(judge)),
	} {
		client := axle.New().SetBaseURL(server.URL)
		client.Use(plugin)

		for url, status := range map[string]int{"/200": 200, "/503": 503, "/broken": 0} {
			isAsked = false
			_, callErr := client.Get(t.Context(), url)

			assert.True(t, isAsked, "%s %s", name, url)
			assert.Equal(t, status == 0, resp == nil, "%s %s: resp is nil if no response came", name, url)
			assert.Equal(t, callErr == nil, err == nil, "%s %s: err is nil for a fulfilled response", name, url)
			if resp != nil {
				assert.Equal(t, status, resp.StatusCode, name)
			}
			if err != nil {
				assert.Same(t, resp, err.Response, "%s %s", name, url)
			}
			if status != http.StatusOK {
				assert.Equal(t, status, err.StatusCode(), name)
			}
			assert.NotPanics(t, func() { _ = err.StatusCode() == http.StatusConflict }, "of a nil *Error too")
		}
	}
}
