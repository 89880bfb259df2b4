"""Telling forged images from real ones with the compact networks of MesoNet."""
