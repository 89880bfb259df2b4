"""Classification of images as real or forged with the compact networks of MesoNet."""
