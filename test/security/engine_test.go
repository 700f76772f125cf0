package security_test

import (
	"testing"

	"github.com/axlehttp/axle/internal/axletest"
)

// TestEngine_BothKeepCredentialsToTheirOrigins runs tests over resty that run over net/http by themselves.
func TestEngine_BothKeepCredentialsToTheirOrigins(t *testing.T) {
	axletest.RunOverResty(t, map[string]func(*testing.T){
		"origins: defaults":            TestOrigins_SensitiveDefaultsGoToTheBaseURLsOriginAlone,
		"origins: the caller's own":    TestOrigins_TheCallersOwnGoToTheCallersURL,
		"origins: redirects":           TestOrigins_NoneFollowARedirectToAnotherOrigin,
		"origins: cookies":             TestOrigins_CookiesOfTheJarGoWhereTheJarSays,
		"origins: Referer":             TestOrigins_RefererIsNotTakenToAnotherOriginAndNeverHasUserinfo,
		"origins: userinfo":            TestOrigins_UserinfoOfTheBaseURLIsTheBaseURLsAlone,
		"origins: nothing goes astray": TestOrigins_NoCredentialIsTakenToAForeignOrigin,
	})
}
