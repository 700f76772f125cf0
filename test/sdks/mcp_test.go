package sdks_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

type toolInput struct {
	N int `json:"n" jsonschema:"a number"`
}

type toolOutput struct {
	N int `json:"n" jsonschema:"the same number"`
}

// newMCP is an MCP server with a tool for each of these functions.
func newMCP(tools map[string]func(ctx context.Context, n int)) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "server", Version: "1"}, nil)
	for name, run := range tools {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(
			ctx context.Context, _ *mcp.CallToolRequest, in toolInput,
		) (*mcp.CallToolResult, toolOutput, error) {
			run(ctx, in.N)
			return nil, toolOutput(in), nil
		})
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
}

// connectMCP opens a session of the SDK's, by the one line that gives it axle's client.
func connectMCP(t *testing.T, hc *http.Client, endpoint string) *mcp.ClientSession {
	t.Helper()
	transport := &mcp.StreamableClientTransport{Endpoint: endpoint, HTTPClient: hc}
	conn, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// callTool calls a tool, and compares what it returns.
func callTool(ctx context.Context, conn *mcp.ClientSession, name string, n int) error {
	result, err := conn.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: toolInput{n}})
	switch {
	case err != nil:
		return err
	case result.IsError:
		return fmt.Errorf("the tool failed: %v", result.Content)
	}
	if got, want := fmt.Sprint(result.StructuredContent), fmt.Sprint(map[string]any{"n": n}); got != want {
		return fmt.Errorf("%s came back of %s", got, want)
	}
	return nil
}

// The calls of a group wait in their tool until all groups have come, so that all of them run at the same time. The token
// expires before each group.
func TestMCP_AThousandParallelToolCallsOverFiftyExpiriesRefreshOncePerExpiryAndNoneFails(t *testing.T) {
	const expiries, group = 50, 20
	entered, release := make(chan int, group), make(chan struct{})
	a := newAPI(t, newMCP(map[string]func(context.Context, int){"wait": func(ctx context.Context, n int) {
		entered <- n
		select {
		case <-release:
		case <-ctx.Done():
		}
	}}))
	client, _ := a.client()
	conn := connectMCP(t, client.HTTPClient(), a.URL+"/mcp")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	before := a.counts()
	ran := map[int]int{}
	var wg sync.WaitGroup
	for g := range expiries {
		a.expire()
		for n := range group {
			wg.Go(func() { assert.NoError(t, callTool(ctx, conn, "wait", g*group+n)) })
		}
		for range group {
			select {
			case n := <-entered:
				ran[n]++
			case <-ctx.Done():
				require.NoError(t, ctx.Err(), "group %d", g)
			}
		}
	}
	close(release)
	wg.Wait()

	got := a.counts()
	assert.Equal(t, expiries, got.refreshes-before.refreshes, "as many refreshes as expiries")
	assert.Empty(t, got.reused, "no refresh token is spent twice")
	assert.Empty(t, got.bypassed, "the chains have seen every request")
	assert.Len(t, ran, expiries*group)
	for n, times := range ran {
		assert.Equal(t, 1, times, "tool call %d ran once", n)
	}
}

// A server that wants more scope for one of its tools answers 403, with a challenge that names the scope (RFC 6750 §3.1).
// The scopes of this one's tokens are in the tokens.
func demandScope(tool, scope string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		wants := bytes.Contains(body, []byte(`"name":"`+tool+`"`))
		if wants && !strings.Contains(r.Header.Get("Authorization"), scope) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope=%q`, scope))
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var scopeParam = regexp.MustCompile(`\bscope="([^"]*)"`)

// scopeOf returns the scope that a refused response asks for; empty if it asks for none.
func scopeOf(refused *axle.Response) string {
	if refused == nil || refused.StatusCode != http.StatusForbidden {
		return ""
	}
	if found := scopeParam.FindStringSubmatch(refused.Header.Get("WWW-Authenticate")); found != nil {
		return found[1]
	}
	return ""
}

// scopedServer has a tool "read" and a tool "write", and the latter needs a scope.
func scopedServer(t *testing.T) *httptest.Server {
	t.Helper()
	nothing := func(context.Context, int) {}
	server := newMCP(map[string]func(context.Context, int){"read": nothing, "write": nothing})
	server = demandScope("write", "files:write", server)
	started := httptest.NewServer(server)
	t.Cleanup(started.Close)
	return started
}

func TestMCP_A403ThatAsksForMoreScopeIsNotRefreshed(t *testing.T) {
	a := scopedServer(t)
	refreshes := 0
	session := store.New[string](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		refreshes++
		return &oauth2.Token{AccessToken: "again"}, nil
	})
	session.Login("ada", &oauth2.Token{AccessToken: "files:read"})
	client := axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport).Use(auth.New(session))
	conn := connectMCP(t, client.HTTPClient(), a.URL+"/mcp")
	require.NoError(t, callTool(t.Context(), conn, "read", 1))
	require.ErrorContains(t, callTool(t.Context(), conn, "write", 2), "Forbidden")
	assert.Zero(t, refreshes)
}

func TestMCP_AStepUpGetsTheScopeThatTheServerAsksFor(t *testing.T) {
	a := scopedServer(t)
	var asked []string
	var mu sync.Mutex
	refresh := func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
		mu.Lock()
		defer mu.Unlock()
		scope := scopeOf(auth.Challenge(ctx))
		asked = append(asked, scope)
		return &oauth2.Token{AccessToken: "files:read+" + scope}, nil
	}
	session := store.New[string](refresh)
	session.Login("ada", &oauth2.Token{AccessToken: "files:read"})
	client := axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport)
	client.Use(auth.New(session, auth.WithShouldRefresh(func(resp *axle.Response) bool {
		return resp.StatusCode == http.StatusUnauthorized || scopeOf(resp) != ""
	})))
	conn := connectMCP(t, client.HTTPClient(), a.URL+"/mcp")
	require.NoError(t, callTool(t.Context(), conn, "read", 1))
	assert.Empty(t, asked, "what the token allows needs no step-up")

	var wg sync.WaitGroup
	for n := range parallel {
		wg.Go(func() { assert.NoError(t, callTool(t.Context(), conn, "write", n)) })
	}
	wg.Wait()
	assert.Equal(t, []string{"files:write"}, asked, "one step-up for all")
}
