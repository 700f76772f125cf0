package page_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPage_FiftyLoadsOnAnExpiredTokenMakeOneRefresh(t *testing.T) {
	page := newVisitor(t)
	page.picture("login")
	page.login("lovelace")
	page.untilListed()
	page.picture("list")
	assert.Equal(t, "ada", page.text("#user"))
	page.expire()

	before := served(t)
	page.click("load")
	page.until(`document.getElementById("waiting-count").textContent === "50"`)
	assert.Equal(t, 50, page.count("#waiting li"))
	assert.Equal(t, 50, page.count("#calls li[data-state=waiting]"))
	assert.Equal(t, "50", page.text("#response-auth"))
	page.picture("refresh")

	page.untilLoads("done", 50)
	assert.Equal(t, counts{Asked: 1, Refreshes: 1, Unauthorized: 50, Stars: 50}, since(t, before))
	assert.Equal(t, 1, page.count("#calls li[data-refresh]"))
	assert.Equal(t, "50", page.text("#count-refused"))
	assert.Equal(t, "0", page.text("#waiting-count"))
	assert.Regexp(t, `^50 calls, 1 refresh, 50 replays, 0 failed, [0-9.]+.(s|ms)$`, page.text("#summary"))
	assert.Contains(t, page.text("#stars li:first-child"), "Canis Major · 8.6 ly")
	page.picture("after")

	// The logging interceptor has written a line for each attempt.
	require.Eventually(t, func() bool { return page.logged("/api/stars/") == 100 }, patience, 20*time.Millisecond)

	page.click("logout")
	page.untilLoggedOut()
	page.untilSettled()
}

func TestPage_LoadsOnAGoodTokenNeedNoRefresh(t *testing.T) {
	page := newMember(t)

	before := served(t)
	page.click("load")
	page.untilLoads("done", 50)
	assert.Equal(t, counts{Stars: 50}, since(t, before))
	assert.Regexp(t, `^50 calls, 0 refreshes, 0 replays, 0 failed, `, page.text("#summary"))
}

// The calls that come while the session refreshes are held back, and none of them gets a 401.
func TestPage_CallsDuringARefreshAreShownAsHeldBack(t *testing.T) {
	page := newMember(t)
	page.expire()

	before := served(t)
	page.click("load")
	page.until(`document.getElementById("response-auth").textContent === "50"`)
	page.click("load")
	page.until(`document.getElementById("request-auth").textContent === "50"`)
	page.untilLoads("done", 100)
	assert.Equal(t, counts{Asked: 1, Refreshes: 1, Unauthorized: 50, Stars: 100}, since(t, before))
}

func TestPage_AWrongPasswordShowsAnError(t *testing.T) {
	page := newVisitor(t)
	page.login("byron")
	page.until(`document.getElementById("login-error").textContent !== ""`)
	assert.Equal(t, "The name or the password is wrong.", page.text("#login-error"))
	page.picture("wrong-password")

	// The right one then removes the error.
	page.login("lovelace")
	page.untilListed()
	page.click("logout")
	page.untilLoggedOut()
	assert.Empty(t, page.text("#login-error"))
}

func TestPage_ALogoutDuringARefreshEndsTheCallsThatWait(t *testing.T) {
	page := newMember(t)
	page.expire()

	before := served(t)
	page.click("load")
	page.until(`document.getElementById("waiting-count").textContent === "50"`)
	page.click("logout")
	page.untilLoads("failed", 50)
	assert.Contains(t, page.text("#calls li[data-state=failed]"), "session ended")
	page.picture("logout-during-refresh")

	// The API learns of the logout after the refresh, and with the newest token.
	page.untilLoggedOut()
	after := since(t, before)
	assert.Equal(t, 1, after.Refreshes)
	assert.Equal(t, 1, after.Logouts)

	// Whoever logs in next has a session of their own.
	page.login("lovelace")
	page.untilListed()
}

func TestPage_AReloadKeepsTheSession(t *testing.T) {
	page := newMember(t)
	page.do(chromedp.Reload())
	page.ready()
	page.untilListed()

	page.click("logout")
	page.untilLoggedOut()
	page.do(chromedp.Reload())
	page.ready()
	page.untilLoggedOut()
}

// The reload loses the response of the refresh. The next page spends the same token once more, and the
// API allows that for some seconds.
func TestPage_AReloadDuringARefreshKeepsTheSession(t *testing.T) {
	page := newMember(t)
	page.expire()

	before := served(t)
	page.click("load")
	require.Eventually(t, func() bool { return since(t, before).Asked == 1 }, patience, 20*time.Millisecond)
	page.do(chromedp.Reload())
	page.ready()
	page.untilListed()
	after := since(t, before)
	assert.Equal(t, counts{Asked: 2, Refreshes: 1, Regranted: 1}, counts{
		Asked: after.Asked, Refreshes: after.Refreshes, Regranted: after.Regranted, Reused: after.Reused,
	})
}

func TestPage_ASecondTabSharesTheLoginTheRefreshAndTheLogout(t *testing.T) {
	first := newVisitor(t)
	second := first.another()
	second.untilLoggedOut()
	first.login("lovelace")
	first.untilListed()
	second.untilListed()

	first.expire()
	before := served(t)
	first.click("load")
	second.click("load")
	first.untilLoads("done", 50)
	second.untilLoads("done", 50)
	after := since(t, before)
	assert.Equal(t, 1, after.Refreshes)
	assert.Equal(t, 100, after.Stars)
	assert.Zero(t, after.Reused)

	second.click("logout")
	second.untilLoggedOut()
	first.untilLoggedOut()
	assert.Contains(t, first.text("#goodbye"), "The session has ended.")
}

func TestPage_AServerThatIsGoneShowsFailedCalls(t *testing.T) {
	server, err := startExample(t.Context())
	require.NoError(t, err)
	page := openSite(t, browser, server.origin, chromedp.WithNewBrowserContext())
	page.login("lovelace")
	page.untilListed()

	require.NoError(t, server.end())
	page.click("load")
	page.untilLoads("failed", 50)
	assert.Equal(t, "Not every star could be loaded: The API cannot be reached.", page.text("#message"))
	assert.Contains(t, page.text("#calls li[data-state=failed]"), "ERR_NETWORK")
	page.picture("gone")
}

func TestPage_TheChainsAreShownInRunningOrder(t *testing.T) {
	page := newVisitor(t)
	const names = `[...document.querySelectorAll("#%s li")].map(li => li.firstChild.textContent)`
	assert.Equal(t, []string{"calls", "auth", "logging", "attempts", "network"},
		evaluate[[]string](page, names, "request-chain"))
	assert.Equal(t, []string{"network", "attempts", "logging", "auth"},
		evaluate[[]string](page, names, "response-chain"))
}

func TestPage_FitsEveryWidthInLightAndDark(t *testing.T) {
	page := newMember(t)
	page.expire()
	page.click("load")
	page.until(`document.getElementById("waiting-count").textContent === "50"`)

	for _, width := range []int64{1440, 1024, 768, 390, 360} {
		page.do(chromedp.EmulateViewport(width, 844))
		assert.LessOrEqual(t, evaluate[int64](page, "document.documentElement.scrollWidth"), width)
	}
	page.do(chromedp.EmulateViewport(390, 844))
	page.picture("narrow-refresh")
	page.untilLoads("done", 50)
	page.picture("narrow")

	page.setScheme("dark")
	page.picture("narrow-dark")
	page.do(chromedp.EmulateViewport(1440, 1000))
	page.picture("dark")
	page.do(chromedp.EmulateViewport(1024, 768))
	page.picture("tablet-dark")
}
