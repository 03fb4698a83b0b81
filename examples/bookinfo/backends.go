package bookinfo

import (
	"net/http"
	"strconv"
	"time"
)

// details are the facts of a book.
type details struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      int    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
}

func (a *app) details(mux *http.ServeMux) {
	mux.HandleFunc("GET /details/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := number(w, r)
		if !ok {
			return
		}
		writeJSON(w, http.StatusOK, details{id, "H. G. Wells", 1895, "paperback", 84, "William Heinemann", "English"})
	})
}

// number is the id in the path; without one the request is answered here.
func number(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "please give a numeric product id"})
		return 0, false
	}
	return id, true
}

// reviews are what readers say, with stars from v2 on: black ones in v2, red ones in v3.
type reviews struct {
	ID      string   `json:"id"`
	Version string   `json:"version"`
	PodName string   `json:"podname"`
	Reviews []review `json:"reviews"`
}

type review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *rating `json:"rating,omitempty"`
}

type rating struct {
	Stars int    `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

func (a *app) reviews(mux *http.ServeMux) {
	// v3 has less patience with ratings than v2.
	color, timeout := "black", 10*time.Second
	if a.version == "v3" {
		color, timeout = "red", 2500*time.Millisecond
	}
	mux.HandleFunc("GET /reviews/{id}", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := number(w, r); !ok {
			return
		}
		all := reviews{ID: r.PathValue("id"), Version: a.version, PodName: a.o.Instance, Reviews: []review{
			{Reviewer: "Reviewer1", Text: "I read it in one evening, and the next morning nobody was eight hundred thousand years younger."},
			{Reviewer: "Reviewer2", Text: "The dinner parties are long, but then the machine goes and one wants to go along."},
		}}
		if a.version != "v1" {
			a.rate(w, r, all.Reviews, color, timeout)
		}
		writeJSON(w, http.StatusOK, all)
	})
}

// rate asks ratings, and says so in each review if that fails.
func (a *app) rate(w http.ResponseWriter, r *http.Request, all []review, color string, timeout time.Duration) {
	var got ratings
	h, err := a.get(r, a.o.Ratings+"/ratings/"+r.PathValue("id"), timeout, &got)
	if err != nil {
		a.o.Log.Warn("no ratings", "error", err)
	} else {
		w.Header().Set("X-Ratings-Version", h.Get("X-Version"))
	}
	for i := range all {
		if n, ok := got.Ratings[all[i].Reviewer]; ok {
			all[i].Rating = &rating{Stars: n, Color: color}
			continue
		}
		all[i].Rating = &rating{Error: "Ratings service is currently unavailable"}
	}
}

// ratings are the stars of a book by reviewer.
type ratings struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

func (a *app) ratings(mux *http.ServeMux) {
	mux.HandleFunc("GET /ratings/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := number(w, r)
		if !ok {
			return
		}
		writeJSON(w, http.StatusOK, ratings{id, map[string]int{"Reviewer1": 5, "Reviewer2": 4}})
	})
}
