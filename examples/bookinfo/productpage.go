package bookinfo

import (
	"bytes"
	_ "embed" // The page's template.
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"time"
)

const (
	// callTimeout bounds each call of the page; reviews are tried reviewTries times, so that seven seconds
	// of delay in ratings are more than the page can wait.
	callTimeout = 3 * time.Second
	reviewTries = 2

	userCookie = "bookinfo-user"
)

//go:embed page.html
var pageText string

// product is the one book in the shop.
type product struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
	About string `json:"description"`
}

func products() []product {
	return []product{{0, "The Time Machine", "A man goes to the end of the world and is back for dinner, but for one shoe."}}
}

// page is what the template shows.
type page struct {
	Product              product
	User                 string
	Version              string
	Details              *details
	DetailsError         string
	Reviews              *reviews
	ReviewsError         string
	DetailsBy, ReviewsBy string
}

func (a *app) productPage(mux *http.ServeMux) {
	view := template.Must(template.New("page").Funcs(template.FuncMap{"stars": stars}).Parse(pageText))
	mux.Handle("GET /{$}", http.RedirectHandler("/productpage", http.StatusFound))
	mux.HandleFunc("GET /productpage", func(w http.ResponseWriter, r *http.Request) {
		r = a.asUser(r)
		p := page{Product: products()[0], User: r.Header.Get("End-User"), Version: a.version}
		p.Details, p.DetailsBy, p.DetailsError = a.bookDetails(w, r)
		p.Reviews, p.ReviewsBy, p.ReviewsError = a.bookReviews(w, r)
		var b bytes.Buffer
		if err := view.Execute(&b, p); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		// The client is gone: there is nobody left to tell.
		_, _ = w.Write(b.Bytes())
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: userCookie, Value: url.QueryEscape(r.FormValue("username")), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/productpage", http.StatusFound)
	})
	mux.HandleFunc("GET /logout", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: userCookie, Path: "/", MaxAge: -1})
		http.Redirect(w, r, "/productpage", http.StatusFound)
	})
	a.productAPI(mux)
}

// productAPI has the same as JSON.
func (a *app) productAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/products", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, products())
	})
	pass := func(base, path string, timeout time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var answer any
			_, err := a.get(a.asUser(r), base+path+url.PathEscape(r.PathValue("id")), timeout, &answer)
			if err != nil {
				writeJSON(w, statusOf(err), map[string]string{"error": err.Error()})
				return
			}
			writeJSON(w, http.StatusOK, answer)
		}
	}
	mux.HandleFunc("GET /api/v1/products/{id}", pass(a.o.Details, "/details/", callTimeout))
	mux.HandleFunc("GET /api/v1/products/{id}/reviews", pass(a.o.Reviews, "/reviews/", callTimeout))
	mux.HandleFunc("GET /api/v1/products/{id}/ratings", pass(a.o.Ratings, "/ratings/", callTimeout))
}

// asUser makes a login known to the services behind: they go by the end-user header.
func (a *app) asUser(r *http.Request) *http.Request {
	c, err := r.Cookie(userCookie)
	if err != nil || c.Value == "" {
		return r
	}
	name, err := url.QueryUnescape(c.Value)
	if err != nil {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("End-User", name)
	return r
}

func (a *app) bookDetails(w http.ResponseWriter, r *http.Request) (*details, string, string) {
	d := &details{}
	h, err := a.get(r, a.o.Details+"/details/0", callTimeout, d)
	if err != nil {
		a.o.Log.Warn("no details", "error", err)
		return nil, "", "Sorry, the details of this book are not available."
	}
	w.Header().Set("X-Details-Version", h.Get("X-Version"))
	return d, h.Get("X-Version"), ""
}

func (a *app) bookReviews(w http.ResponseWriter, r *http.Request) (*reviews, string, string) {
	var last error
	for range reviewTries {
		v := &reviews{}
		h, err := a.get(r, a.o.Reviews+"/reviews/0", callTimeout, v)
		if err == nil {
			w.Header().Set("X-Reviews-Version", h.Get("X-Version"))
			if by := h.Get("X-Ratings-Version"); by != "" {
				w.Header().Set("X-Ratings-Version", by)
			}
			return v, h.Get("X-Version"), ""
		}
		last = err
	}
	a.o.Log.Warn("no reviews", "error", last)
	return nil, "", "Sorry, the reviews of this book are not available."
}

// statusOf is the status to answer when a call has failed.
func statusOf(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return http.StatusServiceUnavailable
}

// stars draws a rating.
func stars(n int) string {
	text := ""
	for i := range 5 {
		if i < n {
			text += "★"
		} else {
			text += "☆"
		}
	}
	return text
}
