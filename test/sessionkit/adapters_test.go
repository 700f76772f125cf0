package sessionkit

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/smithy-go/auth/bearer"
	openai "github.com/openai/openai-go/v3/auth"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// grant is the credential behind a cache: a login whose refresh token it spends. The first token is
// that of the login itself.
type grant struct {
	server   *sessiontest.Server
	lifetime time.Duration // of a token, as the cache hears it

	mu      sync.Mutex
	token   *oauth2.Token // nil: nobody is logged in
	isFirst bool
	expires time.Time // of the token, as the cache knows it
}

func newGrant(server *sessiontest.Server, lifetime time.Duration) *grant {
	return &grant{server: server, lifetime: lifetime, token: server.Login(), isFirst: true}
}

// spend returns the next token.
func (g *grant) spend(ctx context.Context) (access string, expires time.Time, err error) {
	g.mu.Lock()
	current, isFirst := g.token, g.isFirst
	g.isFirst = false
	g.mu.Unlock()
	if current == nil {
		return "", time.Time{}, errors.New("nobody is logged in")
	}

	next := current
	if !isFirst {
		if next, err = refresh(ctx, g.server, current.RefreshToken); err != nil {
			return "", time.Time{}, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token, g.expires = next, time.Now().Add(g.lifetime)
	return next.AccessToken, g.expires, nil
}

// refresh spends a refresh token, as x/oauth2 does.
func refresh(ctx context.Context, server *sessiontest.Server, token string) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, server.Client())
	return server.Config().TokenSource(ctx, &oauth2.Token{RefreshToken: token}).Token()
}

func (g *grant) Token() *oauth2.Token {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.token
}

// Logout implements auth.Session. None of the caches has a logout.
func (g *grant) Logout(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = nil
	return nil
}

// expire waits until the current token has expired. A cache refreshes only then, and it reads the
// clock of the machine.
func (g *grant) expire() {
	g.mu.Lock()
	expires := g.expires
	g.mu.Unlock()
	time.Sleep(time.Until(expires) + time.Millisecond)
}

// cached is a session in front of a cache. Get asks the cache for a token.
type cached struct {
	*grant
	get func(ctx context.Context) (access string, err error)
}

func (c *cached) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	c.expire()
	access, err := c.get(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: access}, nil
}

// lifetime is long enough for all callers of one refresh to see its token before it expires.
const lifetime = 250 * time.Millisecond

// filled returns a session whose cache has the token of the login.
func filled(t *testing.T, g *grant, get func(ctx context.Context) (string, error)) auth.Session {
	t.Helper()
	_, err := get(t.Context())
	require.NoError(t, err)
	return &cached{g, get}
}

// openReuse is oauth2.ReuseTokenSource.
func openReuse(t *testing.T, server *sessiontest.Server) auth.Session {
	g := newGrant(server, lifetime)
	source := oauth2.ReuseTokenSourceWithExpiry(nil, grantSource{g}, time.Nanosecond)
	return filled(t, g, func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	})
}

type grantSource struct{ *grant }

func (s grantSource) Token() (*oauth2.Token, error) {
	access, expires, err := s.spend(context.Background())
	return &oauth2.Token{AccessToken: access, Expiry: expires}, err
}

// openSmithy is the TokenCache of smithy-go, which is in front of every bearer token of the AWS SDK.
func openSmithy(t *testing.T, server *sessiontest.Server) auth.Session {
	g := newGrant(server, lifetime)
	cache := bearer.NewTokenCache(bearer.TokenProviderFunc(func(ctx context.Context) (bearer.Token, error) {
		access, expires, err := g.spend(ctx)
		return bearer.Token{Value: access, CanExpire: true, Expires: expires}, err
	}))
	return filled(t, g, func(ctx context.Context) (string, error) {
		token, err := cache.RetrieveBearerToken(ctx)
		return token.Value, err
	})
}

// openAzure is the BearerTokenPolicy of azcore, in the pipeline of a client.
func openAzure(t *testing.T, server *sessiontest.Server) auth.Session {
	g := newGrant(server, lifetime)
	pipeline := runtime.NewPipeline("sessionkit", "v1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(azureCredential{g}, []string{"scope"}, nil)},
	}, &policy.ClientOptions{Transport: azureTransport{}})

	return filled(t, g, func(ctx context.Context) (string, error) {
		req, err := runtime.NewRequest(ctx, http.MethodGet, "https://api.example.com")
		if err != nil {
			return "", err
		}
		resp, err := pipeline.Do(req)
		if err != nil {
			return "", err
		}
		return strings.TrimPrefix(resp.Request.Header.Get("Authorization"), "Bearer "), nil
	})
}

type azureCredential struct{ *grant }

func (c azureCredential) GetToken(
	ctx context.Context, _ policy.TokenRequestOptions,
) (azcore.AccessToken, error) {
	access, expires, err := c.spend(ctx)
	return azcore.AccessToken{Token: access, ExpiresOn: expires}, err
}

// azureTransport answers each request. Its response tells which token was attached.
type azureTransport struct{}

func (azureTransport) Do(r *http.Request) (*http.Response, error) {
	return answer(r, http.StatusOK, nil), nil
}

func answer(r *http.Request, status int, body any) *http.Response {
	text, _ := json.Marshal(body)
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{},
		Body:       io.NopCloser(strings.NewReader(string(text))),
		Request:    r,
	}
}

// openSSO is the SSOTokenProvider of the AWS SDK behind smithy-go's TokenCache, as the SDK has them.
// All holders of a login share the file of the AWS CLI.
func openSSO(t *testing.T, server *sessiontest.Server) auth.Session {
	path := filepath.Join(sessiontest.Folder(t), "sso.json")
	if _, err := os.Stat(path); err != nil {
		token := server.Login()
		content, err := json.Marshal(map[string]string{
			"accessToken":  token.AccessToken,
			"refreshToken": token.RefreshToken,
			"clientId":     "sessionkit",
			"clientSecret": "none",
			"expiresAt":    time.Now().Add(ssoLifetime + ssoLifetime/2).UTC().Format(time.RFC3339),
		})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}

	g := &grant{server: server}
	cache := bearer.NewTokenCache(ssocreds.NewSSOTokenProvider(ssoClient{server}, path))
	return filled(t, g, func(ctx context.Context) (string, error) {
		token, err := cache.RetrieveBearerToken(ctx)
		if err != nil {
			return "", err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.token, g.expires = &oauth2.Token{AccessToken: token.Value}, token.Expires
		return token.Value, nil
	})
}

// ssoLifetime is the lifetime of a token, in whole seconds. The file cuts off the fraction of the
// second in which the token expires, so the first token, which all holders read, gets half a second
// more.
const ssoLifetime = time.Second

type ssoClient struct{ server *sessiontest.Server }

func (c ssoClient) CreateToken(
	ctx context.Context, in *ssooidc.CreateTokenInput, _ ...func(*ssooidc.Options),
) (*ssooidc.CreateTokenOutput, error) {
	token, err := refresh(ctx, c.server, aws.ToString(in.RefreshToken))
	if err != nil {
		return nil, err
	}
	return &ssooidc.CreateTokenOutput{
		AccessToken:  aws.String(token.AccessToken),
		RefreshToken: aws.String(token.RefreshToken),
		ExpiresIn:    int32(ssoLifetime / time.Second),
	}, nil
}

// openOpenAI is the workload identity of openai-go: its cache hears of a 401, and exchanges a token.
func openOpenAI(t *testing.T, server *sessiontest.Server) auth.Session {
	g := newGrant(server, time.Hour)
	cache, err := openai.NewWorkloadIdentityAuth(openai.WorkloadIdentity{
		IdentityProviderID:   "sessionkit",
		ServiceAccountID:     "sessionkit",
		Provider:             openAISubject{},
		RefreshBufferSeconds: 1,
	})
	require.NoError(t, err)
	s := &openAISession{g, cache}
	_, err = s.RefreshToken(t.Context())
	require.NoError(t, err)
	return s
}

type openAISession struct {
	*grant
	cache *openai.WorkloadIdentityAuth
}

func (s *openAISession) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	seen := ""
	if token := s.Token(); token != nil && !s.isNew() {
		seen = token.AccessToken
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com", nil)
	if err != nil {
		return nil, err
	}

	// The API refuses the token that the session has now.
	var access string
	next := func(r *http.Request) (*http.Response, error) {
		access = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if access == seen {
			return answer(r, http.StatusUnauthorized, nil), nil
		}
		return answer(r, http.StatusOK, nil), nil
	}
	resp, err := openai.WorkloadIdentityMiddleware(s.cache, openAIExchange{s.grant}, req, next)
	if refused, ok := errors.AsType[*openai.OAuthError](err); ok {
		return nil, &oauth2.RetrieveError{
			Response:  &http.Response{StatusCode: refused.StatusCode},
			ErrorCode: string(refused.ErrorCode),
		}
	}
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	return &oauth2.Token{AccessToken: access}, nil
}

// isNew reports whether the cache has not asked for a token yet.
func (g *grant) isNew() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.isFirst
}

type openAISubject struct{}

func (openAISubject) TokenType() openai.SubjectTokenType { return openai.SubjectTokenTypeJWT }

func (openAISubject) GetToken(context.Context, openai.HTTPDoer) (string, error) {
	return "subject", nil
}

// openAIExchange answers the exchange of a token, by spending the refresh token.
type openAIExchange struct{ *grant }

func (e openAIExchange) Do(r *http.Request) (*http.Response, error) {
	access, _, err := e.spend(r.Context())
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return answer(r, refused.Response.StatusCode, map[string]string{"error": refused.ErrorCode}), nil
	}
	if err != nil {
		return nil, err
	}
	return answer(r, http.StatusOK, map[string]any{"access_token": access, "expires_in": 3600}), nil
}

// openAxle is a store of axle, over a file.
func openAxle(t *testing.T, server *sessiontest.Server) auth.Session {
	spend := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		return refresh(ctx, server, current.RefreshToken)
	}
	session, err := store.Open[string](t.Context(), spend,
		store.File(filepath.Join(sessiontest.Folder(t), "session.json")),
		store.WithLogoutWhen(store.RejectedOnly))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	if session.Token() == nil {
		session.Login("ada", server.Login())
	}
	return session
}
