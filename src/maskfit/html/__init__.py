"""Building blocks of the HTML pages: auto-escaped templates, the page layout, and charts as inline SVG."""
