"""Write the two genuine Keras 2 files here: `python make_keras_2_files.py FOLDER`.

keras_2_15.h5 (the tutorial's network) was written with tensorflow-cpu 2.15.1, keras_2_13.keras (its
predecessor: tanh, batch norm after every layer) with tensorflow-cpu 2.13.1. FOLDER gets both; the
file of the other version is left as it is in the repository. Frames and weights come from seeds.
"""

import sys
from pathlib import Path

import numpy as np


def network(keras, activation, norms):
    layers = [keras.Input((None, 8, 8, 1))]
    for kernel, norm in zip((5, 3, 1), norms, strict=True):
        layers.append(
            keras.layers.ConvLSTM2D(
                2, kernel, padding="same", return_sequences=True, activation=activation
            )
        )
        layers += [keras.layers.BatchNormalization()] * norm
    layers.append(keras.layers.Conv3D(1, (3, 3, 3), activation="sigmoid", padding="same"))
    model, rng = keras.Sequential(layers), np.random.default_rng(0)
    weights = [0.5 * rng.standard_normal(weight.shape) for weight in model.weights]
    names = [weight.name for weight in model.weights]
    model.set_weights(
        [w**2 + 0.1 if "variance" in n else w for n, w in zip(names, weights, strict=True)]
    )
    return model


def main(folder):
    import keras

    frames = np.random.default_rng(1).random((1, 5, 8, 8, 1), np.float32)
    settings = {
        "keras_2_15.h5": ("relu", (True, True, False)),
        "keras_2_13.keras": ("tanh", (True, True, True)),
    }
    for name, (activation, norms) in settings.items():
        model = network(keras, activation, norms)
        model.save(folder / name)
        np.save(folder / f"{name}.npy", np.asarray(model(frames)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
