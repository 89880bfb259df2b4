"""No setting is ignored: each has a test that fails when it is. The table names it, and the long test proves
it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from framework.config.registry import Registry
from framework.config.schema import read, type_hints
from framework.config.sections import PARTS
from framework.config.targets import SCENARIOS, locate
from framework.config.trainer_config import TrainerConfig
from framework.data.tables import Table
from framework.data.tf_records import TfRecords
from framework.errors import Problem
from tests.conftest import REPOSITORY

# The class that declares a setting, the setting, and the test that fails when it always has its default.
TABLE: dict[str, dict[str, str]] = {
    "framework.config.early_stopping_config:EarlyStoppingConfig": {
        "n_to_go": "tests/unit/training/test_early_stopping.py::test_a_change_below_min_delta_is_no_improvement",
        "patience": "tests/unit/training/test_early_stopping.py::test_patience_is_n_to_go",
        "frequency": "tests/unit/training/test_early_stopping.py::test_frequency_checks_each_nth_value",
        "min_delta": "tests/unit/training/test_early_stopping.py::test_a_change_below_min_delta_is_no_improvement",
        "lower_threshold": "tests/unit/training/test_early_stopping.py::test_thresholds_with_max",
        "upper_threshold": "tests/unit/training/test_early_stopping.py::test_thresholds_with_max",
        "monitor": "tests/unit/training/test_lav.py::test_a_lav_value_decides_what_is_best",
        "mode": "tests/unit/training/test_lav.py::test_a_lav_value_decides_what_is_best",
    },
    "framework.optim.learning_rates:LearningRate": {
        "lr": "tests/unit/optim/test_learning_rates.py::test_constant",
        "offset_epochs": "tests/unit/optim/test_learning_rates.py::test_an_offset_moves_the_beginning[cosine_decay-step]",
        "per": "tests/unit/optim/test_learning_rates.py::test_exponential_decay_per_step_is_smooth",
    },
    "framework.optim.learning_rates:ExponentialDecay": {
        "decay": "tests/unit/optim/test_learning_rates.py::test_exponential_decay_per_step_is_smooth",
        "decay_epochs": "tests/unit/optim/test_learning_rates.py::test_exponential_decay_per_step_is_smooth",
        "decay_min_fraction": "tests/unit/optim/test_learning_rates.py::test_exponential_decay_stops_at_its_smallest_fraction",
    },
    "framework.optim.learning_rates:CosineDecay": {
        "final_epochs": "tests/unit/optim/test_learning_rates.py::test_cosine_decay_by_epochs",
        "alpha": "tests/unit/optim/test_learning_rates.py::test_cosine_decay_by_epochs",
    },
    "framework.optim.learning_rates:WarmupCosineDecay": {
        "warmup_epochs": "tests/unit/optim/test_learning_rates.py::test_warmup_cosine_decay",
        "warmup_fraction": "tests/unit/optim/test_learning_rates.py::test_warmup_cosine_decay",
    },
    "framework.optim.learning_rates:WarmupConstantCosineDecay": {
        "constant_epochs": "tests/unit/optim/test_learning_rates.py::test_warmup_constant_cosine_decay",
    },
    "framework.optim.learning_rates:Noam": {
        "d_model": "tests/unit/optim/test_learning_rates.py::test_noam",
        "warmup_steps": "tests/unit/optim/test_learning_rates.py::test_noam",
    },
    "framework.optim.learning_rates:Piecewise": {
        "boundaries": "tests/unit/optim/test_learning_rates.py::test_piecewise",
        "values": "tests/unit/optim/test_learning_rates.py::test_piecewise",
    },
    "framework.optim.learning_rates:DecayToLimit": {
        "decay_rate": "tests/unit/optim/test_learning_rates.py::test_decay_to_limit_counts_a_whole_power_as_whole",
        "decay_limit": "tests/unit/optim/test_learning_rates.py::test_decay_to_limit_counts_a_whole_power_as_whole",
    },
    "framework.optim.learning_rates:KerasSchedule": {
        "class_name": "tests/unit/optim/test_learning_rates.py::test_any_schedule_of_keras[step]",
        "arguments": "tests/unit/optim/test_learning_rates.py::test_any_schedule_of_keras[step]",
    },
    "framework.optim.plateau:PlateauSettings": {
        "factor": "tests/unit/optim/test_plateau.py::test_the_rates_are_those_of_keras[settings1-min]",
        "patience": "tests/unit/optim/test_plateau.py::test_the_rates_are_those_of_keras[settings1-min]",
        "min_delta": "tests/unit/optim/test_plateau.py::test_the_rates_are_those_of_keras[settings2-min]",
        "threshold_mode": "tests/unit/optim/test_plateau.py::test_a_part_of_the_best_value_is_enough_or_not",
        "cooldown": "tests/unit/optim/test_plateau.py::test_the_rates_are_those_of_keras[settings1-min]",
        "min_lr": "tests/unit/optim/test_plateau.py::test_the_rates_are_those_of_keras[settings2-min]",
        "monitor": "tests/unit/optim/test_plateau.py::test_the_value_and_the_mode_are_those_that_are_given",
        "mode": "tests/unit/optim/test_plateau.py::test_the_value_and_the_mode_are_those_that_are_given",
    },
    "framework.data.augment:AffineAugmentation": {
        "rotation": "tests/unit/data/test_augment.py::test_settings_at_zero_change_no_bit[uint8]",
        "zoom": "tests/unit/data/test_augment.py::test_settings_at_zero_change_no_bit[uint8]",
        "shift": "tests/unit/data/test_augment.py::test_shift_moves_along_both_axes_by_a_part_of_the_size",
        "horizontal_flip": "tests/unit/data/test_augment.py::test_settings_at_zero_change_no_bit[uint8]",
        "channel_shift": "tests/unit/data/test_augment.py::test_settings_at_zero_change_no_bit[uint8]",
        "brightness": "tests/unit/data/test_augment.py::test_settings_at_zero_change_no_bit[uint8]",
    },
    "framework.data.image_augmentation:ImageAugmentation": {
        "grey": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[grey]",
        "blur": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[blur]",
        "blur_sigma": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[blur]",
        "downscale": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[downscale]",
        "downscale_factor": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[downscale]",
        "noise": "tests/unit/data/test_image_augmentation.py::test_noise_has_its_standard_deviation_and_is_another_one_in_each_image",
        "noise_sigma": "tests/unit/data/test_image_augmentation.py::test_noise_has_its_standard_deviation_and_is_another_one_in_each_image",
        "jpeg": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[jpeg]",
        "jpeg_quality": "tests/unit/data/test_image_augmentation.py::test_a_degradation_of_all_images[jpeg]",
    },
    "framework.optim.optimizer:Optimizer": {
        "clip_value": "tests/unit/optim/test_optimizers.py::test_clipping[settings0-moves0]",
        "clip_norm": "tests/unit/optim/test_optimizers.py::test_clipping[settings1-moves1]",
        "clip_global_norm": "tests/unit/optim/test_optimizers.py::test_clipping[settings3-moves3]",
        "weight_decay": "tests/unit/optim/test_optimizers.py::test_each_optimizer_takes_the_shared_settings[weight_decay-adabelief]",
        "weight_decay_exclude": "tests/unit/optim/test_optimizers.py::test_weight_decay_is_decoupled_and_spares_what_is_excluded[adabelief]",
        "accumulate_steps": "tests/unit/optim/test_gradient_accumulation.py::test_3_batches_of_1_make_the_step_of_1_batch_of_3[adamw]",
    },
    "framework.optim.optimizers:SGD": {
        "momentum": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[sgd-momentum]",
        "nesterov": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[sgd-nesterov]",
    },
    "framework.optim.optimizers:RMSprop": {
        "rho": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[rmsprop-rho]",
        "momentum": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[rmsprop-momentum]",
        "epsilon": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[rmsprop-epsilon]",
        "centered": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[rmsprop-centered]",
    },
    "framework.optim.optimizers:_Moments": {
        "beta_1": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[adabelief-beta_1]",
        "beta_2": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[adabelief-beta_2]",
        "epsilon": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[adabelief-epsilon]",
    },
    "framework.optim.optimizers:Adam": {
        "amsgrad": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[adam-amsgrad]",
    },
    "framework.optim.optimizers:Lion": {
        "beta_1": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[lion-beta_1]",
        "beta_2": "tests/unit/optim/test_optimizers.py::test_each_setting_acts[lion-beta_2]",
    },
    "framework.optim.optimizers:KerasOptimizer": {
        "class_name": "tests/unit/optim/test_optimizers.py::test_settings_that_make_no_sense_are_problems[settings11-paths11]",
        "arguments": "tests/unit/optim/test_optimizers.py::test_settings_that_make_no_sense_are_problems[settings9-paths9]",
    },
    "framework.data.images:ImageFolder": {
        "train_dir": "tests/unit/data/test_images.py::test_without_val_dir_a_part_of_each_class_is_held_out",
        "val_dir": "tests/unit/data/test_images.py::test_the_content_tells_the_format_and_not_the_suffix",
        "test_dir": "tests/unit/data/test_images.py::test_resolve_records_what_later_commands_need",
        "validation_split": "tests/unit/data/test_images.py::test_without_val_dir_a_part_of_each_class_is_held_out",
        "classes": "tests/unit/data/test_images.py::test_the_content_tells_the_format_and_not_the_suffix",
        "positive_class": "tests/unit/data/test_images.py::test_two_classes_have_one_float_as_target[cat-expected2]",
    },
    "scenarios.mesonet.data:ForgedPatches": {
        "image_size": "tests/scenarios/test_forged_patches.py::test_image_size[32]",
        "train_samples": "tests/unit/test_option_effects.py::test_the_number_of_forged_patches",
        "noise": "tests/scenarios/test_forged_patches.py::test_no_pixel_is_in_both_splits",
        "positive_class": "tests/scenarios/test_forged_patches.py::test_positive_class_turns_the_labels_round",
        "validation_samples": "tests/unit/test_option_effects.py::test_the_number_of_forged_patches",
    },
    "scenarios.mesonet.networks:MesoModel": {
        "image_size": "tests/scenarios/test_mesonet_models.py::test_computes_what_the_architecture_says[Meso1]",
        "activation": "tests/scenarios/test_mesonet_models.py::test_activation[activation-conv4_activation-elu-expected1]",
        "dropout": "tests/scenarios/test_mesonet_models.py::test_dropout_reaches_every_dropout_layer[Meso4]",
    },
    "scenarios.mesonet.networks:FourStages": {
        "hidden_activation": "tests/scenarios/test_mesonet_models.py::test_activation[hidden_activation-hidden_activation-relu-expected0]",
    },
    "scenarios.mesonet.given_model:KerasModel": {
        "architecture": "tests/scenarios/test_mesonet_train.py::test_a_model_is_made_again_from_its_description",
        "classes_of_layers": "tests/scenarios/test_mesonet_train.py::test_classes_of_layers_are_found",
        "image_size": "tests/scenarios/test_mesonet_train.py::test_a_model_is_made_again_from_its_description",
    },
    "scenarios.mesonet.given_model:Settings": {
        "compiled": "tests/scenarios/test_mesonet_train.py::test_an_optimizer_of_the_users_own_goes_on",
    },
    "scenarios.mesonet.displacement:Displacement": {
        "shear": "tests/scenarios/test_mesonet_package.py::test_a_shear_is_that_of_keras",
        "width_shift": "tests/scenarios/test_mesonet_package.py::test_a_shift_moves_along_its_axis[width_shift-1]",
        "height_shift": "tests/scenarios/test_mesonet_package.py::test_a_shift_moves_along_its_axis[height_shift-0]",
        "vertical_flip": "tests/scenarios/test_mesonet_package.py::test_a_vertical_flip_mirrors_half_of_the_images",
    },
    "scenarios.lenet.data:DigitImages": {
        "image_size": "tests/scenarios/test_lenet.py::test_a_part_of_the_training_digits_can_be_kept_for_validation",
    },
    "scenarios.lenet.data:Mnist": {
        "dir": "tests/scenarios/test_lenet.py::test_missing_files_are_answered_with_what_is_wanted",
        "validation_split": "tests/scenarios/test_lenet.py::test_a_part_of_the_training_digits_can_be_kept_for_validation",
    },
    "scenarios.lenet.model:LeNet5": {
        "image_size": "tests/scenarios/test_lenet.py::test_the_settings_of_the_network",
        "deviation": "tests/scenarios/test_lenet.py::test_the_settings_of_the_network",
        "dropout": "tests/scenarios/test_lenet.py::test_the_settings_of_the_network",
    },
    "scenarios.lenet.scenario:Settings": {
        "augment": "tests/scenarios/test_lenet.py::test_augmentation_is_a_choice",
    },
    "framework.data.labelled_files:SplitFiles": {
        "train": "tests/unit/data/test_labelled_files.py::test_a_file_of_its_own_is_not_divided",
        "val": "tests/unit/data/test_labelled_files.py::test_a_file_of_its_own_is_not_divided",
        "test": "tests/unit/data/test_labelled_files.py::test_a_file_of_its_own_is_not_divided",
        "validation_split": "tests/unit/data/test_labelled_files.py::test_the_first_seeds_keep_these_rows",
    },
    "framework.data.labelled_files:LabelledFiles": {
        "label": "tests/scenarios/test_reuters.py::test_other_columns_can_be_named",
        "classes": "tests/unit/data/test_labelled_files.py::test_labels_that_are_no_classes",
        "positive_class": "tests/scenarios/test_reuters.py::test_targets_are_those_of_a_classifier",
    },
    "framework.data.texts:TextFiles": {
        "text": "tests/scenarios/test_reuters.py::test_other_columns_can_be_named",
    },
    "framework.data.image_list:ImageList": {
        "file": "tests/unit/data/test_image_list.py::test_other_columns_sizes_classes_and_test_images",
    },
    "framework.data.image_config:ImageConfig": {
        "image_size": "tests/unit/data/test_images.py::test_the_content_tells_the_format_and_not_the_suffix",
        "exif": "tests/unit/data/test_decoding.py::test_what_is_predicted_is_read_as_the_training_images[data.exif=ignore]",
        "jpeg": "tests/unit/data/test_decoding.py::test_what_is_predicted_is_read_as_the_training_images[data.jpeg=fast]",
        "on_error": "tests/unit/data/test_image_errors.py::test_skip_leaves_out_whatever_cannot_be_decoded",
        "group_by": "tests/unit/data/test_groups.py::test_no_group_of_a_folder_is_on_both_sides",
    },
    "framework.data.classes:Renaming": {
        "rename": "tests/unit/data/test_renaming.py::test_folders_get_other_names_and_are_merged",
    },
    "framework.classification:ClassificationSettings": {
        "loss": "tests/unit/data/test_renaming.py::test_losses_of_two_classes[squared]",
        "label_smoothing": "tests/unit/data/test_renaming.py::test_losses_that_do_not_fit",
    },
    "framework.data.tables:Table": {
        "inputs": "tests/unit/data/test_tables.py::test_inputs_are_taken_in_the_order_that_is_asked_for",
        "target": "tests/unit/data/test_tables.py::test_inputs_are_taken_in_the_order_that_is_asked_for",
        "task": "tests/unit/data/test_tables.py::test_a_regression_has_a_number_as_target",
        "classes": "tests/unit/data/test_tables.py::test_more_classes_have_their_index_as_target",
        "positive_class": "tests/unit/data/test_tables.py::test_inputs_are_taken_in_the_order_that_is_asked_for",
    },
    "framework.data.tf_records:TfRecords": {
        "train": "tests/unit/data/test_tf_records.py::test_patterns_are_found_in_order_and_paths_made_absolute",
        "val": "tests/unit/data/test_tf_records.py::test_patterns_are_found_in_order_and_paths_made_absolute",
        "test": "tests/unit/data/test_tf_records.py::test_patterns_are_found_in_order_and_paths_made_absolute",
    },
    "scenarios.reuters.model:TextModel": {
        "words": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[text_cnn]",
        "tokens": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[text_cnn]",
        "embedding": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[text_cnn]",
        "dropout": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[text_cnn]",
    },
    "scenarios.reuters.model:WideTextCNN": {
        "widths": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[wide_text_cnn]",
        "filters": "tests/scenarios/test_reuters.py::test_the_settings_of_the_networks[wide_text_cnn]",
    },
    "framework.config.warm_start_config:WarmStartConfig": {
        "model": "tests/unit/model/test_warm_start.py::test_each_kind_of_source_is_loaded_bit_for_bit[save_run]",
        "allow_partial": "tests/unit/model/test_warm_start.py::test_other_shapes_are_an_error_unless_partial",
        "include": "tests/unit/model/test_warm_start.py::test_include_and_exclude",
        "exclude": "tests/unit/model/test_warm_start.py::test_include_and_exclude",
        "rename": "tests/unit/model/test_warm_start.py::test_rename[saved-head/->output/]",
    },
    "framework.config.trainer_config:TrainerConfig": {
        "epochs": "tests/unit/training/test_trainer.py::test_more_epochs_continue_a_finished_run",
        "seed": "tests/unit/training/test_trainer.py::test_a_sweep_of_seeds_gives_different_weights",
        "output_dir": "tests/unit/test_option_effects.py::test_what_a_run_writes_and_where[True]",
        "samples_per_epoch": "tests/unit/training/test_trainer.py::test_the_length_of_an_epoch[words0-2]",
        "steps_per_epoch": "tests/unit/training/test_trainer.py::test_the_length_of_an_epoch[words1-3]",
        "overfit_batches": "tests/unit/training/test_trainer.py::test_some_batches_are_learned_by_heart",
        "trial_run": "tests/unit/test_option_effects.py::test_a_trial_run_leaves_nothing",
        "val_every_n": "tests/unit/test_end_of_run.py::test_the_last_epoch_is_validated_and_can_be_best",
        "lav_every_n": "tests/unit/training/test_lav.py::test_lav_may_begin_in_a_resume",
        "lav_lists": "tests/unit/training/test_lav.py::test_a_lav_value_decides_what_is_best",
        "recalibrate_batch_norm": "tests/unit/training/test_trainer.py::test_recalibration_leaves_the_training_alone",
        "recalibrate_batches": "tests/unit/test_option_effects.py::test_the_number_of_batches_for_batch_norm_matters",
        "no_train_scope": "tests/unit/training/test_trainer.py::test_frozen_layers_do_not_learn",
        "calc_ema": "tests/unit/training/test_trainer.py::test_averaging_leaves_the_training_alone_and_decides_what_is_best",
        "val_raw_every_n": "tests/unit/training/test_trainer.py::test_averaging_leaves_the_training_alone_and_decides_what_is_best",
        "post_hoc_ema": "tests/unit/test_end_of_run.py::test_the_last_epoch_is_validated_and_can_be_best",
        "post_hoc_every_n_epochs": "tests/unit/test_end_of_run.py::test_the_last_epoch_is_validated_and_can_be_best",
        "checkpoint_every_n_epochs": "tests/unit/test_option_effects.py::test_when_checkpoints_are_saved_and_how_many_are_kept[words0-steps0]",
        "checkpoint_every_n_steps": "tests/unit/test_option_effects.py::test_when_checkpoints_are_saved_and_how_many_are_kept[words0-steps0]",
        "checkpoint_every_n_minutes": "tests/unit/test_option_effects.py::test_when_checkpoints_are_saved_and_how_many_are_kept[words1-steps1]",
        "keep_checkpoints": "tests/unit/test_option_effects.py::test_when_checkpoints_are_saved_and_how_many_are_kept[words0-steps0]",
        "export_saved_model": "tests/unit/test_option_effects.py::test_what_a_run_writes_and_where[False]",
        "report": "tests/unit/report/test_report.py::test_a_run_writes_its_report_where_it_is_to",
        "tensorboard": "tests/unit/test_option_effects.py::test_what_a_run_writes_and_where[False]",
        "scalars_every_n_steps": "tests/unit/training/test_tensorboard.py::test_what_a_run_shows",
        "samples_every_n": "tests/unit/training/test_tensorboard.py::test_what_a_run_shows",
        "figures_every_n": "tests/unit/training/test_tensorboard.py::test_what_a_run_shows",
        "histograms_every_n": "tests/unit/training/test_tensorboard.py::test_what_a_run_shows",
        "varied": "tests/unit/training/test_tensorboard.py::test_what_a_run_shows",
        "profile": "tests/unit/model/test_trace_nan.py::test_a_profile_of_some_steps",
        "profile_steps": "tests/unit/model/test_trace_nan.py::test_a_profile_of_chosen_steps",
        "run_eagerly": "tests/unit/model/test_trace_nan.py::test_eager_steps_are_plain_python",
        "on_nan": "tests/unit/training/test_nan_recovery.py::test_skip_changes_nothing_but_that_step",
        "trace_nan": "tests/unit/test_option_effects.py::test_how_many_steps_a_call_does_at_most[trainer.trace_nan=true]",
    },
    "framework.config.device_config:DeviceConfig": {
        "gpus": "tests/unit/training/test_trainer.py::test_what_cannot_be_trained_leaves_nothing_behind[words3-device.gpus]",
        "cpu_replicas": "tests/unit/optim/test_gradient_accumulation.py::test_copies_of_the_cpu_are_not_gpus_and_must_be_made_in_time",
        "threads": "tests/unit/test_option_effects.py::test_what_a_run_writes_and_where[True]",
        "deterministic": "tests/unit/test_option_effects.py::test_determinism_is_asked_for[False]",
        "precision": "tests/unit/test_option_effects.py::test_precision",
        "jit_compile": "tests/unit/test_option_effects.py::test_xla",
    },
    "framework.loops.loop:CustomLoop": {
        "max_steps_per_call": "tests/unit/test_option_effects.py::test_how_many_steps_a_call_does_at_most[loop.max_steps_per_call=1]",
    },
    "scenarios.mesonet.scenario:Settings": {
        "augment": "tests/unit/test_option_effects.py::test_augmentation_of_mesonet_is_a_choice",
    },
    "framework.data.source:DataConfig": {
        "batch_size": "tests/unit/test_option_effects.py::test_batch_size",
        "cache": "tests/unit/test_option_effects.py::test_what_is_kept_in_memory",
        "cache_limit": "tests/unit/test_option_effects.py::test_what_is_kept_in_memory",
        "limit": "tests/unit/training/test_trainer.py::test_limit_takes_that_many_samples_of_each_split",
        "workers": "tests/unit/test_option_effects.py::test_how_many_samples_are_loaded_at_the_same_time",
    },
}
ROWS = [
    pytest.param(home, name, test, id=f"{home}.{name}")
    for home, names in TABLE.items()
    for name, test in names.items()
]


def configs() -> Iterator[type]:
    """The config classes of the framework, those too that no shipped scenario uses, and of the shipped
    scenarios."""
    for name in ("mesonet", "lenet", "reuters"):
        importlib.import_module(f"scenarios.{name}.scenario")
    importlib.import_module("scenarios.mesonet.given_model")
    shipped: list[Any] = [cls for cls in SCENARIOS.values() if cls.__module__.startswith("scenarios.")]
    kinds = [
        TrainerConfig,
        *map(locate, PARTS.values()),
        *(Table, TfRecords),
        *(part for cls in shipped for part in (cls.Config, cls.models, cls.datas)),
    ]
    for kind in kinds:
        yield from kind.values() if isinstance(kind, Registry) else [kind]


def settings_of(cls: Any) -> Iterator[tuple[str, str]]:
    """The settings of a config class and of the sections in it: where each is declared first, and its
    name."""
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(kind := type_hints(cls)[field.name]):
            yield from settings_of(kind)
            continue
        bases = [
            base
            for base in reversed(cls.__mro__)
            if isinstance(base, type) and dataclasses.is_dataclass(base)
        ]
        home = next(
            base for base in bases if field.name in {known.name for known in dataclasses.fields(base)}
        )
        yield f"{home.__module__}:{home.__qualname__}", field.name


def test_each_setting_has_a_line() -> None:
    declared = {setting for cls in configs() for setting in settings_of(cls)}
    assert {(home, name) for home, names in TABLE.items() for name in names} == declared


def test_each_whole_number_has_both_bounds() -> None:
    """One that is too large would take all memory, or end in a traceback of TensorFlow."""
    unbounded = []
    for cls in configs():
        for home, name in settings_of(cls):
            declaring = locate(home)
            bounds = next(
                field for field in dataclasses.fields(declaring) if field.name == name
            ).metadata.get("bounds", {})
            if int in leaf_types(type_hints(declaring)[name]) and not (
                bounds.keys() & {"ge", "gt"} and bounds.keys() & {"le", "lt"}
            ):
                unbounded.append(f"{home}.{name}")
    assert unbounded == []


@pytest.mark.parametrize("value", [10**20, 1e308, -(10**20)])
def test_a_whole_number_out_of_bounds_is_answered(value: float) -> None:
    for cls in configs():
        for name, hint in type_hints(cls).items():
            if int in leaf_types(hint):
                problems: list[Problem] = []
                in_a_list = any(typing.get_origin(kind) is tuple for kind in (hint, *typing.get_args(hint)))
                given = [value] if in_a_list else value
                assert read(cls, {name: given}, "section", problems) is None, f"{cls.__name__}.{name}"
                assert any(problem.message == "out of range" for problem in problems), (
                    f"{cls.__name__}.{name}"
                )


def leaf_types(hint: Any) -> set[Any]:
    """The types that a hint is made of: `tuple[int, ...] | None` is made of int and None."""
    parts = typing.get_args(hint)
    return {leaf for part in parts for leaf in leaf_types(part)} if parts else {hint}


def test_the_test_of_each_setting_exists() -> None:
    read_once = functools.cache(lambda file: (REPOSITORY / file).read_text())
    for home, names in TABLE.items():
        for name, test in names.items():
            file, _, function = test.partition("::")
            assert f"\ndef {function.partition('[')[0]}(" in read_once(file), f"{home}.{name}: {test}"


@pytest.mark.slow
def test_the_test_of_each_setting_is_found() -> None:
    """With its parameters, whose names may change without a word."""
    tests = {test for names in TABLE.values() for test in names.values()}
    found: set[str] = set()

    class Noting:
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            found.update(name for item in items for name in (item.nodeid, item.nodeid.partition("[")[0]))

    files = sorted({str(REPOSITORY / test.partition("::")[0]) for test in tests})
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-m", "", *files], plugins=[Noting()])
    assert sorted(tests - found) == []


@pytest.mark.long
@pytest.mark.parametrize(("home", "name", "test"), ROWS)
def test_an_ignored_setting_makes_its_test_fail(home: str, name: str, test: str) -> None:
    assert run(test) == "passed"
    with ignored(locate(home), name):
        assert run(test) == "failed"


@contextlib.contextmanager
def ignored(cls: type, name: str) -> Iterator[None]:
    """Within the context a setting has its default, whatever is set, in all classes derived from the one that
    declares it."""
    with pytest.MonkeyPatch.context() as patch:
        for derived in {cls, *_derived(cls)}:
            patch.setattr(derived, "__init__", _with_default(derived.__init__, name))
        yield


def _derived(cls: Any) -> Iterator[Any]:
    for derived in cls.__subclasses__():
        yield derived
        yield from _derived(derived)


def _with_default(initialise: Any, name: str) -> Any:
    @functools.wraps(initialise)
    def initialise_without(self: Any, *arguments: Any, **settings: Any) -> None:
        initialise(self, *arguments, **settings)
        field = next(field for field in dataclasses.fields(self) if field.name == name)
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        object.__setattr__(self, name, None if made is dataclasses.MISSING else made)

    return initialise_without


def run(test: str) -> str:
    """Run a test in this process; how it ended."""
    outcomes: list[str] = []

    class Noting:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            outcomes.append(report.outcome)

    with contextlib.redirect_stdout(io.StringIO()) as output:
        pytest.main(["-q", "-p", "no:cacheprovider", "-m", "", str(REPOSITORY / test)], plugins=[Noting()])
    assert outcomes, output.getvalue()
    return "failed" if "failed" in outcomes else "passed"
